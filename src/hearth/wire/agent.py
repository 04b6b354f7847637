"""The agent protocol as it travels: msgpack over HTTP, the node always calls.

Three requests, all authorised by the node's token:

- `POST /agent/v1/sync` is parked until there is something to say or `park_seconds` are over. It carries all
  that the agent holds; the answer is the difference. A lost answer loses nothing: the next one says it again.
- `POST /agent/v1/report` is short: starts, output and ends in one batch, answered when they are durable.
- `GET|PUT /agent/v1/blobs/...` move files under the right of a lease.

`(boot, counter)` orders what one node says: the server refuses what is older than what it has heard.
"""

from __future__ import annotations

import msgspec

PROTOCOL = 2
ACCEPTED_PROTOCOLS = (PROTOCOL, 1)  # the previous one too: what is new since then has defaults
CONTENT_TYPE = "application/msgpack"


class Offer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node has."""

    cores: float
    memory_bytes: int
    runtime: str
    isolated: bool
    takes_images: bool
    cpu_model: str = ""
    frequency_ghz: float = 0.0
    has_ssd: bool = False
    gpus: int = 0
    gpu_model: str = ""
    specification_key: str = ""


class Held(msgspec.Struct, frozen=True, array_like=True):
    """Instances of one task and attempt number that the agent holds, ended but unacknowledged ones included."""

    task: int
    attempt: int
    numbers: str  # ranges


class Room(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the agent would take now, beyond all that it holds."""

    cores: float = 0.0
    memory_bytes: int = 0
    ahead: int = 0  # instances that it would queue although its cores are taken: it ends many a second


class Sync(msgspec.Struct, frozen=True):
    """The parked request."""

    protocol: int
    node: str
    boot: int
    counter: int
    seen: int  # the `sequence` of the newest orders that arrived in this boot; 0: none
    incarnation: str  # of the server's database as the agent knows it; "" at first
    offer: Offer
    room: Room
    holds: list[Held]
    # How new the resources of held tasks are, where they were pushed since the task began: {task: version}.
    versions: dict[int, int] = {}


class Resource(msgspec.Struct, frozen=True, omit_defaults=True):
    """A bucket that becomes files (see domain.spec.ResourceBucket)."""

    bucket: str
    prefix: str = ""
    strip_prefix: str = ""
    cache_ttl_seconds: int = 0  # how long the node keeps what it fetched after it was last used; 0: not said


class Work(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the agent must know of a task to run its instances."""

    task: int
    uuid: str
    total: int
    constants: dict[str, str]  # profile's and task's together, forced ones applied
    platform: dict[str, str]  # variables that the platform adds
    network: bool
    cores: float
    memory_bytes: int
    resources: list[Resource] = []
    has_results: bool = False
    results_whitelist: str = ""
    results_blacklist: str = ""
    upload_on_cancel: bool = False
    default_image: str = ""
    output_bytes: int = 0  # how much the server keeps of each stream of an instance, the newest; 0: not said
    run_seconds: int = 0  # how long one run may take before it is ended; 0: for ever
    resources_version: int = 0  # how often the user pushed new resources
    unexported: list[str] = []  # constants that are no variables of the environment

    def __repr__(self) -> str:
        return f"Work(task={self.task}, uuid={self.uuid!r})"  # secrets are among the constants


class Leased(msgspec.Struct, frozen=True, array_like=True):
    """Attempts that the node may run."""

    task: int
    attempt: int
    numbers: str


class Stop(msgspec.Struct, frozen=True, array_like=True):
    """An attempt to stop.

    `cancelled`: tell its end when it is gone, also when it was never there. Else it is not the node's any more:
    drop it silently.
    """

    task: int
    number: int
    attempt: int
    cancelled: bool


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """Upload what these running instances have made so far. Told again until each part is reported as over."""

    snapshot: int
    task: int
    attempt: int
    numbers: str
    whitelist: str
    blacklist: str


class Update(msgspec.Struct, frozen=True, array_like=True):
    """The resources of a task have news: fetch its listing and put new and changed files into its running instances."""

    task: int
    version: int


class Known(msgspec.Struct, frozen=True, array_like=True):
    """How much output of an attempt the server has, for an agent that came back."""

    task: int
    number: int
    attempt: int
    stdout_bytes: int
    stderr_bytes: int


class Orders(msgspec.Struct, frozen=True):
    """The answer to a sync."""

    incarnation: str
    answers: int  # the counter of the sync; the agent takes no answer but that of its newest sync
    sequence: int
    lease_seconds: float
    heartbeat_seconds: float
    works: list[Work] = []
    leases: list[Leased] = []
    stops: list[Stop] = []
    known: list[Known] = []
    snapshots: list[Snapshot] = []
    updates: list[Update] = []


class Started(msgspec.Struct, frozen=True, array_like=True):
    """The command of an attempt runs."""

    task: int
    number: int
    attempt: int
    at: int
    download_microseconds: int = 0  # how long its image and resources took before that


class Output(msgspec.Struct, frozen=True, array_like=True):
    """A piece of an attempt's output; `offset` is its place in that attempt's stream."""

    task: int
    number: int
    attempt: int
    stream: int  # 0 stdout, 1 stderr
    offset: int
    data: bytes
    skipped: int = 0  # bytes before it that are not told: so much was waiting that the server would not keep them


class Exited(msgspec.Struct, frozen=True, array_like=True):
    """The command is over and its results are being uploaded."""

    task: int
    number: int
    attempt: int
    exit_code: int
    at: int


class ResultFile(msgspec.Struct, frozen=True, array_like=True):
    """A file of an attempt, uploaded as a blob that no bucket shows yet."""

    path: str  # relative, with slashes
    blob: int
    size: int
    etag: str


class Ended(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attempt is over and its container is gone."""

    task: int
    number: int
    attempt: int
    at: int
    exit_code: int | None = None
    error_code: str = ""  # "" is success
    error_message: str = ""
    lost: bool = False  # nobody can tell how it went: not the user's failure
    started_at: int | None = None
    exited_at: int | None = None
    cpu_microseconds: int = 0
    peak_memory: int = 0
    files: list[ResultFile] = []
    notes: list[str] = []  # what was done otherwise than asked, for people
    download_microseconds: int = 0
    debug: str = ""  # more on the error, for people: the end of what it wrote to stderr
    returned: bool = False  # lost, and it never began: a fault of the node, which costs the instance nothing


class Usage(msgspec.Struct, frozen=True, array_like=True):
    """What a running attempt uses now; a value that cannot be measured is 0."""

    task: int
    number: int
    attempt: int
    phase: int  # domain.instance.Phase
    at: int
    cpu_cores: float = 0.0  # cores at work on average since the last measurement
    cpu_microseconds: int = 0  # since its start
    memory_bytes: int = 0
    peak_memory: int = 0
    network_in_kbps: float = 0.0
    network_out_kbps: float = 0.0
    frequency_ghz: float = 0.0  # of the machine now


class SnapshotPart(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far an instance's share of a snapshot is. `over` says that nothing more follows; `files` are with it."""

    snapshot: int
    task: int
    number: int
    attempt: int
    size_bytes: int = 0
    transferred_bytes: int = 0
    over: bool = False
    error: str = ""  # "" is success
    files: list[ResultFile] = []


class Report(msgspec.Struct, frozen=True):
    """What happened, in order: output of an attempt comes before its end."""

    protocol: int
    node: str
    boot: int
    incarnation: str
    room: Room
    seen: int  # orders that `room` already counts
    counter: int
    started: list[Started] = []
    outputs: list[Output] = []
    exited: list[Exited] = []
    ended: list[Ended] = []
    usages: list[Usage] = []  # the newest of each attempt; may be lost
    snapshots: list[SnapshotPart] = []


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """An attempt whose words no longer count: drop it."""

    task: int
    number: int
    attempt: int


class Receipt(msgspec.Struct, frozen=True):
    """The answer to a report: everything in it is durable, except what is refused."""

    refused: list[Refusal] = []
    # For output that did not join on: where the server's copy ends.
    known: list[Known] = []


class ResourceFile(msgspec.Struct, frozen=True, array_like=True):
    """An object that becomes a file at `path`."""

    path: str
    blob: int
    size: int
    etag: str
    resource: int = 0  # which of the task's resources it is from, counted as in `Work.resources`


class Listing(msgspec.Struct, frozen=True):
    """The answer to `GET /agent/v1/resources/{task}`: the union of its buckets, the last one winning."""

    files: list[ResourceFile]
