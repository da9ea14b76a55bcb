"""Patterns of secrets with a high signal, and how a value is masked.

A pattern matches a token's own published shape (prefix, alphabet, length), so that false alarms are rare. The
one generic pattern (a password assigned in a configuration) is marked as weak. All work on bytes.
"""

import math
import re
from collections import Counter

MAX_LINE_BYTES = 16 * 1024  # longer lines are cut into pieces of this size

# (id, what it is, confidence, quick marker, pattern whose group 1 is the value)
PATTERNS = [
    (
        "private-key",
        "private key",
        "high",
        b"PRIVATE KEY",
        rb"(-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----)",
    ),
    (
        "aws-access-key",
        "AWS access key id",
        "high",
        b"A",
        rb"(?<![A-Za-z0-9/+])((?:AKIA|ASIA)[A-Z2-7]{16})(?![A-Za-z0-9/+=])",
    ),
    ("github-token", "GitHub token", "high", b"gh", rb"\b(gh[pousr]_[A-Za-z0-9]{36,255})\b"),
    (
        "github-pat",
        "GitHub fine-grained token",
        "high",
        b"github_pat_",
        rb"\b(github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})\b",
    ),
    ("gitlab-token", "GitLab token", "high", b"glpat-", rb"\b(glpat-[A-Za-z0-9_-]{20,})"),
    ("slack-token", "Slack token", "high", b"xox", rb"\b(xox[abprs]-[0-9]{6,}-[A-Za-z0-9-]{10,})"),
    (
        "slack-webhook",
        "Slack webhook",
        "high",
        b"hooks.slack",
        rb"(https://hooks\.slack\.com/services/T\w{8,}/B\w{8,}/\w{20,})",
    ),
    ("google-api-key", "Google API key", "high", b"AIza", rb"\b(AIza[0-9A-Za-z_-]{35})(?![0-9A-Za-z_-])"),
    ("stripe-key", "Stripe live key", "high", b"k_live_", rb"\b([rs]k_live_[0-9A-Za-z]{20,})"),
    ("anthropic-key", "Anthropic API key", "high", b"sk-ant-", rb"\b(sk-ant-[A-Za-z0-9_-]{30,})"),
    (
        "openai-key",
        "OpenAI API key",
        "high",
        b"sk-",
        rb"\b(sk-(?:proj-)?[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,})",
    ),
    ("npm-token", "npm token", "high", b"npm_", rb"\b(npm_[A-Za-z0-9]{36})\b"),
    ("pypi-token", "PyPI token", "high", b"pypi-AgE", rb"\b(pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{40,})"),
    ("sendgrid-key", "SendGrid key", "high", b"SG.", rb"\b(SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})\b"),
    ("npmrc-auth", "npm registry password", "high", b"_authToken", rb"_authToken\s*=\s*([^\s$\"'{]{16,})"),
    ("azure-storage", "Azure storage key", "high", b"AccountKey=", rb"AccountKey=([A-Za-z0-9+/]{86}==)"),
    (
        "jwt",
        "signed JSON web token",
        "medium",
        b"eyJ",
        rb"\b(eyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{30,})",
    ),
    (
        "url-password",
        "password in a URL",
        "medium",
        b"://",
        rb"\b(?:https?|ftp|postgres(?:ql)?|mysql|mongodb(?:\+srv)?|redis|amqps?)://"
        rb"[^\s/:@\"'<>{}$]+:([^\s/:@\"'<>{}$%]{6,})@[\w.-]+",
    ),
    (
        "assigned-secret",
        "password or key in an assignment",
        "medium",
        b"",
        rb"(?i)\b(?:password|passwd|secret|api[_-]?key|access[_-]?token"
        rb"|auth[_-]?token|client[_-]?secret)\b[\"']?\s*[:=]\s*"
        rb"[\"']([A-Za-z0-9_/+=.!@#%^&*-]{12,100})[\"']",
    ),
]
COMPILED = [
    (identity, what, confidence, marker, re.compile(pattern))
    for identity, what, confidence, marker, pattern in PATTERNS
]
# One cheap look at a whole file or line before the exact patterns are tried.
QUICK = re.compile(
    rb"PRIVATE"
    rb" KEY|AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|hooks\.slack|AIza|k_live_|sk-|npm_|pypi-AgE"
    rb"|SG\.|_authToken|AccountKey=|eyJ|://[^\s/]+:[^\s/]+@|(?i:passw|secret|api[_-]?key|token[\"']?\s*[:=])"
)

_PLACEHOLDER = re.compile(
    rb"(?i)example|sample|dummy|fake|placeholder|change[-_]?me|your[-_]|xxxx|\.\.\.|test|foo|bar"
    rb"|1234|abcd|redacted"
    rb"|password|secret|default|deadbeef|0000|qwerty|insert|todo|none|null|<|>|\*\*\*"
)
# Files whose presence alone is a finding.
SECRET_FILES = re.compile(
    r"(^|/)(id_(rsa|dsa|ecdsa|ed25519)|\.env(\.(local|production|prod|staging))?|\.netrc|\.pgpass|\.htpasswd"
    r"|credentials\.json|service[-_]account[^/]*\.json|[^/]+\.(pfx|p12|jks|keystore|kdbx))$"
)


def entropy(value):
    """Shannon entropy in bits a byte."""
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values()) if total else 0.0


def masked(identity, value):
    """What may be shown of a value: its kind's prefix and its length, never enough to use it."""
    text = value.decode("utf-8", "replace")
    if identity == "private-key":
        return text
    shown = (
        text[:4] if identity not in ("url-password", "assigned-secret", "npmrc-auth", "azure-storage") else ""
    )
    return "%s… (%d characters)" % (shown, len(text))


def matches(line, following=b""):
    """(id, what, confidence, value) of the secrets in one line; `following` is the next line (for key
    blocks).
    """
    for start in range(0, max(1, len(line)), MAX_LINE_BYTES):
        piece = line[start : start + MAX_LINE_BYTES]
        for identity, what, confidence, marker, pattern in COMPILED:
            if marker and marker not in piece:
                continue
            for match in pattern.finditer(piece):
                value = match.group(1)
                if identity == "private-key":
                    body = piece[match.end() : match.end() + 40].replace(
                        b"\\n", b""
                    ).strip() or following.strip(b" \t\r+\"'#/*")
                    if not re.match(rb"^(Proc-Type|Version:|[A-Za-z0-9+/=]{20,})", body):
                        continue  # only the header is named: documentation, or code that looks for one
                elif confidence == "medium":
                    if _PLACEHOLDER.search(value) or entropy(value) < (
                        3.3 if identity == "assigned-secret" else 2.5
                    ):
                        continue
                    if identity == "assigned-secret" and not (
                        re.search(rb"\d", value) and re.search(rb"[A-Za-z]", value)
                    ):
                        continue
                elif (
                    re.search(rb"EXAMPLE|example|XXXX|xxxx|0000000|1234567890|abcdefgh", value)
                    or entropy(value) < 2.5
                ):
                    continue
                yield identity, what, confidence, value
