#include "orchestration/parse.h"

namespace ez::orchestration {

// schema_test.cc keeps it equal to docs/formats/workflow.schema.json, and its keys to those of the decoder.
std::string_view workflow_json_schema() {
  static constexpr std::string_view kSchema = R"json({
 "$schema": "https://json-schema.org/draft/2020-12/schema",
 "title": "Ez Aigent workflow",
 "description": "See docs/guide/workflows.md; `ez workflow validate` also checks graph and expressions.",
 "type": "object",
 "properties": {
  "name": {"$ref": "#/$defs/name"},
  "description": {
   "type": "string"
  },
  "namespace": {
   "$ref": "#/$defs/name",
   "default": "default"
  },
  "inputs": {
   "type": "object",
   "propertyNames": {
    "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,62}$"
   },
   "additionalProperties": {
    "type": "object",
    "properties": {
     "type": {
      "enum": ["string", "int", "number", "bool", "list", "map", "git"]
     },
     "description": {
      "type": "string"
     },
     "default": {}
    },
    "required": ["type"],
    "additionalProperties": false
   },
   "maxProperties": 200
  },
  "repository": {
   "$ref": "#/$defs/text",
   "description": "Workspaces are git worktrees of it."
  },
  "branch": {
   "$ref": "#/$defs/text",
   "description": "The run branch; ez/<run id> when absent."
  },
  "base": {
   "$ref": "#/$defs/text",
   "description": "Where the run branch starts; HEAD when absent."
  },
  "files": {
   "type": "string",
   "minLength": 1,
   "maxLength": 255,
   "description": "A folder beside the workflow file, shipped with it."
  },
  "concurrency": {
   "$ref": "#/$defs/concurrency",
   "description": "Of whole runs of this and other workflows."
  },
  "priority": {
   "$ref": "#/$defs/priority",
   "default": "normal"
  },
  "budget": {
   "type": "object",
   "properties": {
    "cost_usd": {
     "type": ["number", "string"],
     "exclusiveMinimum": 0,
     "pattern": "^[0-9]+(\\.[0-9]{1,6})?$"
    },
    "deadline": {"$ref": "#/$defs/duration"},
    "warn_at": {
     "type": "string",
     "pattern": "^[1-9][0-9]?(\\.0{1,3})?%$",
     "default": "80%",
     "description": "The part of cost and of deadline after which a warning is given."
    },
    "when_exceeded": {
     "enum": ["pause", "fail"],
     "default": "pause",
     "description": "What happens when the money left does not suffice for the next task."
    }
   },
   "additionalProperties": false
  },
  "labels": {
   "type": "object",
   "description": "Texts that each run of the workflow is found by; whoever starts a run may add more.",
   "maxProperties": 16,
   "propertyNames": {
    "pattern": "^[a-z0-9][a-z0-9._/-]{0,62}$"
   },
   "additionalProperties": {
    "type": "string",
    "minLength": 1,
    "description": "May contain `${{ }}`; at most 128 bytes."
   }
  },
  "retention": {
   "type": "object",
   "description": "How long finished runs stay in history; the rule of the server when absent.",
   "properties": {
    "days": {
     "type": "integer",
     "minimum": 1,
     "maximum": 36500
    },
    "runs": {
     "type": "integer",
     "minimum": 1,
     "maximum": 1000000000
    }
   },
   "minProperties": 1,
   "additionalProperties": false
  },
  "defaults": {
   "type": "object",
   "description": "Merged under each task.",
   "properties": {
    "retry": {"$ref": "#/$defs/retry"},
    "timeout": {"$ref": "#/$defs/timeout"},
    "sandbox": {"$ref": "#/$defs/sandbox"},
    "agent": {"$ref": "#/$defs/agent"},
    "on_failure": {"$ref": "#/$defs/on_failure"}
   },
   "additionalProperties": false
  },
  "resolver": {
   "$ref": "#/$defs/resolver",
   "description": "Of all tasks that change the repository and name none of their own."
  },
  "queries": {
   "$ref": "#/$defs/named_expressions",
   "description": "Values that a run shows when somebody asks."
  },
  "outputs": {
   "$ref": "#/$defs/named_expressions",
   "description": "Values that a run gives when it has succeeded."
  },
  "tasks": {
   "type": "array",
   "items": {"$ref": "#/$defs/task"},
   "minItems": 1,
   "maxItems": 50000
  }
 },
 "required": ["name", "tasks"],
 "additionalProperties": false,
 "$defs": {
  "named_expressions": {
   "type": "object",
   "propertyNames": {
    "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,62}$"
   },
   "additionalProperties": {
    "type": ["string", "number", "boolean"]
   },
   "maxProperties": 200
  },
  "concurrency": {
   "type": "object",
   "description": "At most `limit` at the same time, over everything with that key.",
   "properties": {
    "key": {"$ref": "#/$defs/text"},
    "limit": {
     "type": "integer",
     "minimum": 1,
     "maximum": 100000,
     "default": 1
    },
    "when_full": {
     "enum": ["wait", "cancel_oldest", "cancel_newest", "reject"],
     "default": "wait"
    }
   },
   "required": ["key"],
   "additionalProperties": false
  },
  "rate": {
   "type": "object",
   "description": "At most `limit` starts in any stretch of `per`, over all tasks with that key.",
   "properties": {
    "key": {"$ref": "#/$defs/text"},
    "limit": {
     "type": "integer",
     "minimum": 1,
     "maximum": 1000000
    },
    "per": {
     "$ref": "#/$defs/duration",
     "default": "1m"
    }
   },
   "required": ["key", "limit"],
   "additionalProperties": false
  },
  "name": {
   "type": ["string", "integer"],
   "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"
  },
  "text": {
   "type": ["string", "number", "boolean"]
  },
  "duration": {
   "type": "string",
   "pattern": "^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
   "examples": ["500ms", "30s", "1h30m"]
  },
  "priority": {
   "enum": ["critical", "high", "normal", "low", "deferred"]
  },
  "on_failure": {
   "enum": ["pause", "fail", "continue", "rollback"],
   "default": "pause"
  },
  "compensation": {
   "type": ["string", "object"],
   "description": "What undoes it in a rollback: the id of another task, or run or prompt with settings."
  },
  "retry": {
   "type": "object",
   "description": "How often and how fast a failed attempt is tried again.",
   "properties": {
    "max_attempts": {
     "type": "integer",
     "minimum": 1,
     "maximum": 1000,
     "default": 3
    },
    "backoff": {"$ref": "#/$defs/duration", "default": "1s"},
    "max_backoff": {"$ref": "#/$defs/duration", "default": "5m"},
    "multiplier": {"type": "number", "minimum": 1, "maximum": 100, "default": 2},
    "jitter": {
     "type": "number",
     "minimum": 0,
     "maximum": 1,
     "default": 0.3
    }
   },
   "additionalProperties": false
  },
  "timeout": {
   "type": "object",
   "properties": {
    "schedule_to_start": {
     "$ref": "#/$defs/duration",
     "default": "0s",
     "description": "The longest wait for an agent; 0s: no limit."
    },
    "start_to_close": {
     "$ref": "#/$defs/duration",
     "default": "1h",
     "description": "The longest time of one attempt."
    },
    "schedule_to_close": {
     "$ref": "#/$defs/duration",
     "default": "0s",
     "description": "The longest time of all attempts with their waits."
    },
    "heartbeat": {
     "$ref": "#/$defs/duration",
     "default": "30s",
     "description": "The longest silence of the agent, at least 1s."
    }
   },
   "additionalProperties": false
  },
  "sandbox": {
   "type": "object",
   "properties": {
    "network": {
     "type": "boolean",
     "default": false
    },
    "memory_mb": {
     "type": "integer",
     "minimum": 16,
     "maximum": 4194304,
     "default": 2048
    },
    "processes": {
     "type": "integer",
     "minimum": 1,
     "maximum": 32768,
     "default": 512
    },
    "output_mb": {
     "type": "integer",
     "minimum": 1,
     "maximum": 10240,
     "default": 16
    },
    "disk_mb": {
     "type": "integer",
     "minimum": 1,
     "maximum": 16777216,
     "default": 4096
    },
    "cpu_s": {
     "type": "integer",
     "minimum": 0,
     "maximum": 31536000,
     "default": 0
    }
   },
   "additionalProperties": false
  },
  "resolver": {
   "description": "Settles what does not merge, before a person has to; none in a task: a person at once.",
   "anyOf": [
    {"const": "none"},
    {
     "type": "object",
     "properties": {
      "agent": {"$ref": "#/$defs/agent"},
      "run": {
       "$ref": "#/$defs/text",
       "description": "A shell script that settles it, in place of an agent."
      },
      "prompt": {
       "$ref": "#/$defs/text",
       "description": "What the agent is told besides."
      },
      "tries": {"type": "integer", "minimum": 1, "maximum": 10, "default": 2},
      "timeout": {"$ref": "#/$defs/duration", "default": "10m", "description": "Of one try."},
      "budget": {
       "type": "object",
       "description": "The most that the tries of one merge may cost.",
       "properties": {
        "cost_usd": {
         "type": ["number", "string"],
         "exclusiveMinimum": 0,
         "pattern": "^[0-9]+(\\.[0-9]{1,6})?$"
        }
       },
       "required": ["cost_usd"],
       "additionalProperties": false
      }
     },
     "additionalProperties": false
    }
   ]
  },
  "agent": {
   "type": "object",
   "properties": {
    "type": {
     "$ref": "#/$defs/name",
     "default": "exec",
     "description": "exec runs `run`; other types take `prompt`."
    },
    "capabilities": {
     "type": "array",
     "items": {"$ref": "#/$defs/name"},
     "maxItems": 32,
     "description": "An agent must have all of them."
    },
    "models": {
     "type": "array",
     "items": {
      "type": "string",
      "minLength": 1,
      "maxLength": 128
     },
     "maxItems": 32,
     "description": "Names or patterns of the models that the task may use through the model gateway."
    },
    "model": {
     "type": "string",
     "maxLength": 200,
     "description": "Asked instead of the first model of the agent type."
    },
    "max_turns": {
     "type": "integer",
     "minimum": 1,
     "maximum": 10000
    },
    "max_tokens": {
     "type": "integer",
     "minimum": 1000,
     "maximum": 4000000000
    }
   },
   "additionalProperties": false
  },
  "task": {
   "type": "object",
   "properties": {
    "id": {"$ref": "#/$defs/name"},
    "name": {
     "type": "string",
     "maxLength": 200
    },
    "dependencies": {
     "type": "array",
     "items": {"$ref": "#/$defs/name"},
     "uniqueItems": true
    },
    "when": {
     "type": ["string", "boolean"],
     "description": "An expression; the task is skipped when it is false."
    },
    "for_each": {
     "type": "string",
     "pattern": "^\\$\\{\\{[\\s\\S]*\\}\\}$",
     "description": "An expression that gives a list: one instance for each item."
    },
    "max_parallel": {
     "type": "integer",
     "minimum": 1,
     "maximum": 100000
    },
    "agent": {"$ref": "#/$defs/agent"},
    "run": {
     "$ref": "#/$defs/text",
     "description": "A shell script; ${{ }} inserts are quoted as shell words."
    },
    "prompt": {
     "$ref": "#/$defs/text",
     "description": "What an agent is asked to do."
    },
    "output_schema": {
     "type": "object",
     "description": "JSON Schema of the output that the model has to give."
    },
    "mcp": {
     "type": "object",
     "description": "MCP servers whose tools the model gets; each has `command` or `url`.",
     "additionalProperties": {
      "type": "object",
      "properties": {
       "command": {"type": "array", "items": {"$ref": "#/$defs/text"}},
       "env": {"type": "object", "additionalProperties": {"$ref": "#/$defs/text"}},
       "url": {"type": "string", "pattern": "^http://"},
       "headers": {"type": "object", "additionalProperties": {"$ref": "#/$defs/text"}},
       "tools": {"type": "array", "items": {"$ref": "#/$defs/text"}},
       "timeout": {"$ref": "#/$defs/duration"}
      },
      "additionalProperties": false
     },
     "maxProperties": 16
    },
    "env": {
     "type": "object",
     "propertyNames": {
      "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,62}$"
     },
     "additionalProperties": {"$ref": "#/$defs/text"},
     "maxProperties": 200
    },
    "verify": {
     "$ref": "#/$defs/text",
     "description": "Must pass in the workspace, and again on the merged tree."
    },
    "workspace": {
     "enum": ["none", "read", "write"],
     "description": "write when the workflow has a repository, otherwise none."
    },
    "resolver": {"$ref": "#/$defs/resolver"},
    "artifacts": {
     "type": "array",
     "items": {
      "type": "string",
      "minLength": 1,
      "maxLength": 255
     },
     "maxItems": 100
    },
    "concurrency": {"$ref": "#/$defs/concurrency"},
    "rate": {"$ref": "#/$defs/rate"},
    "retry": {"$ref": "#/$defs/retry"},
    "timeout": {"$ref": "#/$defs/timeout"},
    "on_failure": {"$ref": "#/$defs/on_failure"},
    "compensate": {"$ref": "#/$defs/compensation"},
    "checkpoint": {
     "type": "boolean",
     "default": false
    },
    "priority": {"$ref": "#/$defs/priority"},
    "sandbox": {"$ref": "#/$defs/sandbox"},
    "budget": {
     "type": "object",
     "description": "The most that one attempt may cost.",
     "properties": {
      "cost_usd": {
       "type": ["number", "string"],
       "minimum": 0,
       "pattern": "^[0-9]+(\\.[0-9]{1,6})?$"
      }
     },
     "required": ["cost_usd"],
     "additionalProperties": false
    },
    "approval": {
     "type": "object",
     "description": "A person has to agree; alone, the task only waits.",
     "properties": {
      "role": {"$ref": "#/$defs/name"},
      "message": {"$ref": "#/$defs/text"}
     },
     "additionalProperties": false
    },
    "workflow": {
     "type": "object",
     "description": "Starts a run of another workflow of the namespace and ends as that does.",
     "properties": {
      "name": {"$ref": "#/$defs/name"},
      "version": {
       "type": "integer",
       "minimum": 1,
       "description": "The newest at the start when absent."
      },
      "inputs": {
       "type": "object",
       "propertyNames": {
        "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,62}$"
       },
       "additionalProperties": {"$ref": "#/$defs/text"},
       "maxProperties": 200
      }
     },
     "required": ["name"],
     "additionalProperties": false
    },
    "wait": {
     "type": "object",
     "description": "Waits without an agent: for a stretch of time, until a moment, or for a signal.",
     "properties": {
      "for": {"$ref": "#/$defs/duration"},
      "until": {
       "type": "string",
       "description": "RFC 3339, for example 2026-12-24T08:00:00+01:00; a template."
      },
      "signal": {"$ref": "#/$defs/name"},
      "timeout": {
       "$ref": "#/$defs/duration",
       "default": "0s",
       "description": "The longest wait for the signal; 0s: no limit."
      }
     },
     "minProperties": 1,
     "additionalProperties": false
    }
   },
   "required": ["id"],
   "additionalProperties": false,
   "anyOf": [
    {
     "required": ["run"]
    },
    {
     "required": ["prompt"]
    },
    {
     "required": ["approval"]
    },
    {
     "required": ["wait"]
    },
    {
     "required": ["workflow"]
    }
   ],
   "not": {
    "required": ["run", "prompt"]
   }
  }
 }
}
)json";
  return kSchema;
}

}  // namespace ez::orchestration
