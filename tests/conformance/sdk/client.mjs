// The official SDKs as clients of ez. usage: node client.mjs messages|chat|responses, with EZ_URL, EZ_KEY and EZ_MODEL in the
// environment. Each scenario prints a line {"name", "error"}; error is null when it went well.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

// The packages lie in a cache folder outside of the sources.
const require = createRequire(path.join(process.env.EZ_PACKAGES, "package.json"));
const Anthropic = require("@anthropic-ai/sdk");
const OpenAI = require("openai");

const { EZ_URL: url, EZ_KEY: key, EZ_MODEL: model } = process.env;
const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const schema = {
  type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false,
};
const properties = {
  add: { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } }, required: ["a", "b"] },
  lookup: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
const work = { add: ({ a, b }) => String(a + b), lookup: ({ city }) => `${city}: 21 °C` };
const results = "results: 21 | Málaga: 21 °C";
const hello = "Grüße, \"world\" \u{1F600}\nand a line";

// Counts the requests that an SDK really sends.
let sent = 0;
const counting = (...args) => { sent += 1; return fetch(...args); };

const anthropic = new Anthropic.Anthropic({ apiKey: key, baseURL: url, fetch: counting });
const openai = new OpenAI.OpenAI({ apiKey: key, baseURL: `${url}/v1`, fetch: counting });

const status = async (promise, wanted) => {
  const before = sent;
  await assert.rejects(promise, (error) => {
    assert.equal(error.status, wanted, String(error));
    assert.match(error.message, /scripted failure/);
    return true;
  });
  assert.equal(sent - before, 1, "the SDK tried again");
};

const messages = {
  async text() {
    const answer = await anthropic.messages.create({
      model, max_tokens: 100, system: "Be brief.", messages: [{ role: "user", content: hello }],
    });
    assert.equal(answer.type, "message");
    assert.equal(answer.role, "assistant");
    assert.match(answer.id, /^msg_/);
    assert.deepEqual(answer.content.map(({ type, text }) => ({ type, text })),
      [{ type: "text", text: `you said: ${hello} (system: Be brief.)` }]);
    assert.equal(answer.stop_reason, "end_turn");
    assert.equal(answer.usage.input_tokens, 20);
    assert.equal(answer.usage.cache_read_input_tokens, 30);
    assert.equal(answer.usage.output_tokens, 12);
  },
  async stream() {
    const stream = anthropic.messages.stream({
      model, max_tokens: 100, messages: [{ role: "user", content: hello }],
    });
    const kinds = [];
    let text = "";
    stream.on("streamEvent", (event) => kinds.push(event.type));
    stream.on("text", (piece) => { text += piece; });
    const answer = await stream.finalMessage();
    assert.equal(text, `you said: ${hello}`);
    assert.equal(answer.content[0].text, text);
    assert.equal(answer.content.length, 1);
    assert.equal(answer.stop_reason, "end_turn");
    assert.equal(answer.usage.output_tokens, 12);
    assert.equal(answer.usage.input_tokens, 20);
    assert.equal(answer.usage.cache_read_input_tokens, 30);
    assert.equal(kinds[0], "message_start");
    assert.equal(kinds.at(-1), "message_stop");
    assert.ok(kinds.filter((kind) => kind === "content_block_delta").length > 3, "the pieces came one by one");
  },
  async tools() { await messages.loop((ask) => anthropic.messages.create(ask)); },
  async streamed_tools() { await messages.loop((ask) => anthropic.messages.stream(ask).finalMessage()); },
  async image() {
    const answer = await anthropic.messages.create({
      model, max_tokens: 100, messages: [{ role: "user", content: [
        { type: "text", text: "look" }, { type: "image", source: { type: "base64", media_type: "image/png", data: png } }] }],
    });
    assert.equal(answer.content[0].text, "you said: look (and 1 image)");
  },
  async structured() {
    const answer = await anthropic.messages.create({
      model, max_tokens: 100, messages: [{ role: "user", content: "where" }],
      output_config: { format: { type: "json_schema", schema } },
    });
    assert.deepEqual(JSON.parse(answer.content[0].text), { city: "Paris" });
  },
  async errors() {
    const ask = (text) => ({ model, max_tokens: 9, messages: [{ role: "user", content: text }] });
    await status(anthropic.messages.create(ask("fail:400")), 400);
    await status(anthropic.messages.stream(ask("fail:400")).finalMessage(), 400);
    await assert.rejects(anthropic.messages.create({ ...ask("x"), model: "nobody-has-this" }), Anthropic.NotFoundError);
    await assert.rejects(new Anthropic.Anthropic({ apiKey: "wrong", baseURL: url }).messages.create(ask("x")),
      Anthropic.AuthenticationError);
    await assert.rejects(anthropic.messages.create({ ...ask("x"), messages: [{ role: "robot", content: "x" }] }),
      Anthropic.BadRequestError);
  },
  async count() {
    const { input_tokens } = await anthropic.messages.countTokens({ model, messages: [{ role: "user", content: hello }] });
    assert.ok(input_tokens > 0);
  },
  async models() {
    const listed = [];
    for await (const each of anthropic.models.list()) listed.push(each.id);
    assert.ok(Array.isArray(listed));
  },
};
Object.defineProperty(messages, "loop", { enumerable: false, value: async (create) => {
  const ask = {
    model, max_tokens: 200, messages: [{ role: "user", content: "compute" }],
    tools: Object.entries(properties).map(([name, input_schema]) => ({ name, description: name, input_schema })),
  };
  const first = await create(ask);
  assert.equal(first.stop_reason, "tool_use");
  assert.deepEqual(first.content.map(({ type }) => type), ["text", "tool_use", "tool_use"]);
  assert.deepEqual(first.content[1].input, { a: 17, b: 4 });
  assert.deepEqual(first.content[2].input, { city: "Málaga" });
  ask.messages.push({ role: "assistant", content: first.content });
  ask.messages.push({ role: "user", content: first.content.filter(({ type }) => type === "tool_use").map((call) => (
    { type: "tool_result", tool_use_id: call.id, content: work[call.name](call.input) })) });
  const last = await create(ask);
  assert.equal(last.stop_reason, "end_turn");
  assert.equal(last.content[0].text, results);
} });

const chat = {
  async text() {
    const answer = await openai.chat.completions.create({
      model, messages: [{ role: "system", content: "Be brief." }, { role: "user", content: hello }],
    });
    assert.equal(answer.object, "chat.completion");
    assert.match(answer.id, /^chatcmpl-/);
    assert.ok(answer.created > 1_600_000_000);
    assert.equal(answer.choices[0].message.content, `you said: ${hello} (system: Be brief.)`);
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.equal(answer.usage.prompt_tokens, 50);
    assert.equal(answer.usage.prompt_tokens_details.cached_tokens, 30);
    assert.equal(answer.usage.completion_tokens, 12);
    assert.equal(answer.usage.total_tokens, 62);
  },
  async stream() {
    const stream = await openai.chat.completions.create({
      model, stream: true, stream_options: { include_usage: true }, messages: [{ role: "user", content: hello }],
    });
    let text = "", usage = null, reason = null, chunks = 0;
    for await (const chunk of stream) {
      chunks += 1;
      text += chunk.choices[0]?.delta?.content ?? "";
      reason = chunk.choices[0]?.finish_reason ?? reason;
      if (chunk.usage) {
        assert.equal(usage, null, "usage came twice");
        usage = chunk.usage;
      }
    }
    assert.equal(text, `you said: ${hello}`);
    assert.equal(reason, "stop");
    assert.equal(usage.prompt_tokens, 50);
    assert.equal(usage.completion_tokens, 12);
    assert.ok(chunks > 4);
  },
  async stream_without_usage() {
    const stream = await openai.chat.completions.create({
      model, stream: true, messages: [{ role: "user", content: hello }],
    });
    let text = "";
    for await (const chunk of stream) {
      assert.equal(chunk.choices.length, 1, "a chunk that nobody asked for");
      text += chunk.choices[0].delta.content ?? "";
    }
    assert.equal(text, `you said: ${hello}`);
  },
  async helper() {
    const stream = openai.chat.completions.stream({ model, messages: [{ role: "user", content: hello }] });
    assert.equal((await stream.finalChatCompletion()).choices[0].message.content, `you said: ${hello}`);
  },
  async tools() { await chat.loop((ask) => openai.chat.completions.create(ask)); },
  async streamed_tools() { await chat.loop((ask) => openai.chat.completions.stream(ask).finalChatCompletion()); },
  async run_tools() {
    const runner = openai.chat.completions.runTools({
      model, messages: [{ role: "user", content: "compute" }],
      tools: Object.entries(properties).map(([name, parameters]) => ({
        type: "function", function: { name, description: name, parameters, parse: JSON.parse, function: work[name] } })),
    });
    assert.equal(await runner.finalContent(), results);
  },
  async image() {
    const answer = await openai.chat.completions.create({
      model, messages: [{ role: "user", content: [
        { type: "text", text: "look" }, { type: "image_url", image_url: { url: `data:image/png;base64,${png}` } }] }],
    });
    assert.equal(answer.choices[0].message.content, "you said: look (and 1 image)");
  },
  async structured() {
    const answer = await openai.chat.completions.parse({
      model, messages: [{ role: "user", content: "where" }],
      response_format: { type: "json_schema", json_schema: { name: "place", strict: true, schema } },
    });
    assert.deepEqual(JSON.parse(answer.choices[0].message.content), { city: "Paris" });
  },
  async errors() {
    const ask = (text) => ({ model, messages: [{ role: "user", content: text }] });
    await status(openai.chat.completions.create(ask("fail:400")), 400);
    await status(openai.chat.completions.create({ ...ask("fail:400"), stream: true }), 400);
    await assert.rejects(openai.chat.completions.create({ ...ask("x"), model: "nobody-has-this" }), OpenAI.NotFoundError);
    await assert.rejects(new OpenAI.OpenAI({ apiKey: "wrong", baseURL: `${url}/v1` }).chat.completions.create(ask("x")),
      OpenAI.AuthenticationError);
  },
  async models() {
    const listed = [];
    for await (const each of openai.models.list()) listed.push(each.id);
    assert.ok(Array.isArray(listed));
  },
};
Object.defineProperty(chat, "loop", { enumerable: false, value: async (create) => {
  const ask = {
    model, messages: [{ role: "user", content: "compute" }],
    tools: Object.entries(properties).map(([name, parameters]) => (
      { type: "function", function: { name, description: name, parameters } })),
  };
  const first = await create(ask);
  assert.equal(first.choices[0].finish_reason, "tool_calls");
  const message = first.choices[0].message;
  assert.equal(message.content, "Let me see.");
  assert.deepEqual(message.tool_calls.map((call) => [call.type, call.function.name, JSON.parse(call.function.arguments)]),
    [["function", "add", { a: 17, b: 4 }], ["function", "lookup", { city: "Málaga" }]]);
  ask.messages.push({ role: "assistant", content: message.content, tool_calls: message.tool_calls.map(
    ({ id, type, function: { name, arguments: text } }) => ({ id, type, function: { name, arguments: text } })) });
  for (const call of message.tool_calls) {
    ask.messages.push({ role: "tool", tool_call_id: call.id,
      content: work[call.function.name](JSON.parse(call.function.arguments)) });
  }
  const last = await create(ask);
  assert.equal(last.choices[0].finish_reason, "stop");
  assert.equal(last.choices[0].message.content, results);
} });

const responses = {
  async text() {
    const answer = await openai.responses.create({ model, instructions: "Be brief.", input: hello });
    assert.equal(answer.object, "response");
    assert.equal(answer.status, "completed");
    assert.match(answer.id, /^resp_/);
    assert.equal(answer.output_text, `you said: ${hello} (system: Be brief.)`);
    assert.equal(answer.usage.input_tokens, 50);
    assert.equal(answer.usage.input_tokens_details.cached_tokens, 30);
    assert.equal(answer.usage.output_tokens, 12);
  },
  async stream() {
    const stream = openai.responses.stream({ model, input: hello });
    const kinds = [];
    let text = "";
    for await (const event of stream) {
      kinds.push(event.type);
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    const answer = await stream.finalResponse();
    assert.equal(text, `you said: ${hello}`);
    assert.equal(answer.output_text, text);
    assert.equal(kinds[0], "response.created");
    assert.equal(kinds.at(-1), "response.completed");
    assert.equal(answer.usage.input_tokens, 50);
    assert.equal(answer.usage.output_tokens, 12);
  },
  async tools() { await responses.loop((ask) => openai.responses.create(ask)); },
  async streamed_tools() { await responses.loop((ask) => openai.responses.stream(ask).finalResponse()); },
  async image() {
    const answer = await openai.responses.create({
      model, input: [{ role: "user", content: [
        { type: "input_text", text: "look" },
        { type: "input_image", detail: "auto", image_url: `data:image/png;base64,${png}` }] }],
    });
    assert.equal(answer.output_text, "you said: look (and 1 image)");
  },
  async structured() {
    const answer = await openai.responses.parse({
      model, input: "where", text: { format: { type: "json_schema", name: "place", strict: true, schema } },
    });
    assert.deepEqual(JSON.parse(answer.output_text), { city: "Paris" });
  },
  async errors() {
    await status(openai.responses.create({ model, input: "fail:400" }), 400);
    await status(openai.responses.create({ model, input: "fail:400", stream: true }), 400);
    await assert.rejects(openai.responses.create({ model: "nobody-has-this", input: "x" }), OpenAI.NotFoundError);
  },
};
Object.defineProperty(responses, "loop", { enumerable: false, value: async (create) => {
  const ask = {
    model, input: [{ role: "user", content: "compute" }],
    tools: Object.entries(properties).map(([name, parameters]) => (
      { type: "function", name, description: name, parameters, strict: false })),
  };
  const first = await create(ask);
  assert.equal(first.status, "completed");
  assert.equal(first.output_text, "Let me see.");
  const calls = first.output.filter(({ type }) => type === "function_call");
  assert.deepEqual(calls.map((call) => [call.name, JSON.parse(call.arguments)]),
    [["add", { a: 17, b: 4 }], ["lookup", { city: "Málaga" }]]);
  for (const item of first.output) {
    const { parsed_arguments: _, ...plain } = item;
    ask.input.push(plain);
  }
  for (const call of calls) {
    ask.input.push({ type: "function_call_output", call_id: call.call_id,
      output: work[call.name](JSON.parse(call.arguments)) });
  }
  const last = await create(ask);
  assert.equal(last.output_text, results);
} });

// Only where the provider has them: not a matter of dialects.
const embeddings = {
  async vectors() {
    const answer = await openai.embeddings.create({ model, input: ["a", "b"], encoding_format: "float" });
    assert.equal(answer.data.length, 2);
    assert.deepEqual(answer.data[1].embedding, [0.25, -0.5]);
    assert.equal(answer.usage.total_tokens, 8);
  },
};

const all = { messages, chat, responses, embeddings }[process.argv[2]];
for (const [name, scenario] of Object.entries(all)) {
  let error = null;
  try {
    await scenario();
  } catch (caught) {
    error = String(caught?.stack ?? caught).slice(0, 3000);
  }
  console.log(JSON.stringify({ name, error }));
}
