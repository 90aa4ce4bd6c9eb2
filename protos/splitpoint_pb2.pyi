from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "max_message_bytes", "workers", "machine_json")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    MACHINE_JSON_FIELD_NUMBER: _ClassVar[int]
    version: str
    max_message_bytes: int
    workers: int
    machine_json: str
    def __init__(self, version: _Optional[str] = ..., max_message_bytes: _Optional[int] = ..., workers: _Optional[int] = ..., machine_json: _Optional[str] = ...) -> None: ...

class ListBundlesRequest(_message.Message):
    __slots__ = ("held_name", "held_digest")
    HELD_NAME_FIELD_NUMBER: _ClassVar[int]
    HELD_DIGEST_FIELD_NUMBER: _ClassVar[int]
    held_name: str
    held_digest: str
    def __init__(self, held_name: _Optional[str] = ..., held_digest: _Optional[str] = ...) -> None: ...

class ListBundlesResponse(_message.Message):
    __slots__ = ("bundles",)
    class Entry(_message.Message):
        __slots__ = ("name", "digest", "size_bytes", "cuts", "calibration_digest", "calibration_bytes", "exits_digest", "exits_bytes", "version", "version_digest", "is_default", "signature_bytes")
        NAME_FIELD_NUMBER: _ClassVar[int]
        DIGEST_FIELD_NUMBER: _ClassVar[int]
        SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
        CUTS_FIELD_NUMBER: _ClassVar[int]
        CALIBRATION_DIGEST_FIELD_NUMBER: _ClassVar[int]
        CALIBRATION_BYTES_FIELD_NUMBER: _ClassVar[int]
        EXITS_DIGEST_FIELD_NUMBER: _ClassVar[int]
        EXITS_BYTES_FIELD_NUMBER: _ClassVar[int]
        VERSION_FIELD_NUMBER: _ClassVar[int]
        VERSION_DIGEST_FIELD_NUMBER: _ClassVar[int]
        IS_DEFAULT_FIELD_NUMBER: _ClassVar[int]
        SIGNATURE_BYTES_FIELD_NUMBER: _ClassVar[int]
        name: str
        digest: str
        size_bytes: int
        cuts: _containers.RepeatedScalarFieldContainer[str]
        calibration_digest: str
        calibration_bytes: int
        exits_digest: str
        exits_bytes: int
        version: str
        version_digest: str
        is_default: bool
        signature_bytes: int
        def __init__(self, name: _Optional[str] = ..., digest: _Optional[str] = ..., size_bytes: _Optional[int] = ..., cuts: _Optional[_Iterable[str]] = ..., calibration_digest: _Optional[str] = ..., calibration_bytes: _Optional[int] = ..., exits_digest: _Optional[str] = ..., exits_bytes: _Optional[int] = ..., version: _Optional[str] = ..., version_digest: _Optional[str] = ..., is_default: bool = ..., signature_bytes: _Optional[int] = ...) -> None: ...
    BUNDLES_FIELD_NUMBER: _ClassVar[int]
    bundles: _containers.RepeatedCompositeFieldContainer[ListBundlesResponse.Entry]
    def __init__(self, bundles: _Optional[_Iterable[_Union[ListBundlesResponse.Entry, _Mapping]]] = ...) -> None: ...

class FetchBundleRequest(_message.Message):
    __slots__ = ("name", "with_calibration", "with_exits", "heads_of", "version", "with_signature")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WITH_CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    WITH_EXITS_FIELD_NUMBER: _ClassVar[int]
    HEADS_OF_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    WITH_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    name: str
    with_calibration: bool
    with_exits: bool
    heads_of: _containers.RepeatedScalarFieldContainer[str]
    version: str
    with_signature: bool
    def __init__(self, name: _Optional[str] = ..., with_calibration: bool = ..., with_exits: bool = ..., heads_of: _Optional[_Iterable[str]] = ..., version: _Optional[str] = ..., with_signature: bool = ...) -> None: ...

class FetchBundleResponse(_message.Message):
    __slots__ = ("path", "size_bytes", "chunk", "skipped_bytes")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_BYTES_FIELD_NUMBER: _ClassVar[int]
    path: str
    size_bytes: int
    chunk: bytes
    skipped_bytes: int
    def __init__(self, path: _Optional[str] = ..., size_bytes: _Optional[int] = ..., chunk: _Optional[bytes] = ..., skipped_bytes: _Optional[int] = ...) -> None: ...

class MeasureProfileRequest(_message.Message):
    __slots__ = ("name", "bundle_digest", "budget_s", "threads", "version_digest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BUDGET_S_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    VERSION_DIGEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    bundle_digest: str
    budget_s: float
    threads: int
    version_digest: str
    def __init__(self, name: _Optional[str] = ..., bundle_digest: _Optional[str] = ..., budget_s: _Optional[float] = ..., threads: _Optional[int] = ..., version_digest: _Optional[str] = ...) -> None: ...

class MeasureProfileResponse(_message.Message):
    __slots__ = ("stage", "done", "total", "profile_json")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    PROFILE_JSON_FIELD_NUMBER: _ClassVar[int]
    stage: str
    done: int
    total: int
    profile_json: str
    def __init__(self, stage: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., profile_json: _Optional[str] = ...) -> None: ...

class ProbeRequest(_message.Message):
    __slots__ = ("payload", "reply_bytes")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    REPLY_BYTES_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    reply_bytes: int
    def __init__(self, payload: _Optional[bytes] = ..., reply_bytes: _Optional[int] = ...) -> None: ...

class ProbeResponse(_message.Message):
    __slots__ = ("payload", "server_ns")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    SERVER_NS_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    server_ns: int
    def __init__(self, payload: _Optional[bytes] = ..., server_ns: _Optional[int] = ...) -> None: ...

class ReportTelemetryRequest(_message.Message):
    __slots__ = ("snapshots_json",)
    SNAPSHOTS_JSON_FIELD_NUMBER: _ClassVar[int]
    snapshots_json: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, snapshots_json: _Optional[_Iterable[str]] = ...) -> None: ...

class ReportTelemetryResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchVersionRequest(_message.Message):
    __slots__ = ("edge", "name", "version_digest")
    EDGE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_DIGEST_FIELD_NUMBER: _ClassVar[int]
    edge: str
    name: str
    version_digest: str
    def __init__(self, edge: _Optional[str] = ..., name: _Optional[str] = ..., version_digest: _Optional[str] = ...) -> None: ...

class WatchVersionResponse(_message.Message):
    __slots__ = ("version_digest", "bundle_digest", "documents", "size_bytes", "release", "reason", "mark")
    VERSION_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    version_digest: str
    bundle_digest: str
    documents: _containers.RepeatedScalarFieldContainer[str]
    size_bytes: int
    release: int
    reason: str
    mark: str
    def __init__(self, version_digest: _Optional[str] = ..., bundle_digest: _Optional[str] = ..., documents: _Optional[_Iterable[str]] = ..., size_bytes: _Optional[int] = ..., release: _Optional[int] = ..., reason: _Optional[str] = ..., mark: _Optional[str] = ...) -> None: ...

class FetchPartRequest(_message.Message):
    __slots__ = ("name", "version_digest", "path", "offset", "most_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    MOST_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    version_digest: str
    path: str
    offset: int
    most_bytes: int
    def __init__(self, name: _Optional[str] = ..., version_digest: _Optional[str] = ..., path: _Optional[str] = ..., offset: _Optional[int] = ..., most_bytes: _Optional[int] = ...) -> None: ...

class FetchPartResponse(_message.Message):
    __slots__ = ("chunk", "file_bytes")
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    FILE_BYTES_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    file_bytes: int
    def __init__(self, chunk: _Optional[bytes] = ..., file_bytes: _Optional[int] = ...) -> None: ...

class Rollout(_message.Message):
    __slots__ = ("name", "version_digest", "before_digest", "share", "state", "reason", "uses", "warning", "refusals")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BEFORE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    WARNING_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    name: str
    version_digest: str
    before_digest: str
    share: float
    state: str
    reason: str
    uses: _containers.RepeatedCompositeFieldContainer[VersionUse]
    warning: str
    refusals: _containers.RepeatedCompositeFieldContainer[Refusal]
    def __init__(self, name: _Optional[str] = ..., version_digest: _Optional[str] = ..., before_digest: _Optional[str] = ..., share: _Optional[float] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., uses: _Optional[_Iterable[_Union[VersionUse, _Mapping]]] = ..., warning: _Optional[str] = ..., refusals: _Optional[_Iterable[_Union[Refusal, _Mapping]]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("reason", "devices")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    reason: str
    devices: int
    def __init__(self, reason: _Optional[str] = ..., devices: _Optional[int] = ...) -> None: ...

class VersionUse(_message.Message):
    __slots__ = ("version_digest", "devices", "refused", "frames", "fallbacks", "faults", "reasons", "version", "release", "folder")
    VERSION_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    FALLBACKS_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    version_digest: str
    devices: int
    refused: int
    frames: int
    fallbacks: int
    faults: int
    reasons: _containers.RepeatedScalarFieldContainer[str]
    version: str
    release: int
    folder: str
    def __init__(self, version_digest: _Optional[str] = ..., devices: _Optional[int] = ..., refused: _Optional[int] = ..., frames: _Optional[int] = ..., fallbacks: _Optional[int] = ..., faults: _Optional[int] = ..., reasons: _Optional[_Iterable[str]] = ..., version: _Optional[str] = ..., release: _Optional[int] = ..., folder: _Optional[str] = ...) -> None: ...

class ListRolloutsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRolloutsResponse(_message.Message):
    __slots__ = ("rollouts",)
    ROLLOUTS_FIELD_NUMBER: _ClassVar[int]
    rollouts: _containers.RepeatedCompositeFieldContainer[Rollout]
    def __init__(self, rollouts: _Optional[_Iterable[_Union[Rollout, _Mapping]]] = ...) -> None: ...

class SteerRolloutRequest(_message.Message):
    __slots__ = ("name", "action", "version", "share")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    name: str
    action: str
    version: str
    share: float
    def __init__(self, name: _Optional[str] = ..., action: _Optional[str] = ..., version: _Optional[str] = ..., share: _Optional[float] = ...) -> None: ...

class SteerRolloutResponse(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: Rollout
    def __init__(self, rollout: _Optional[_Union[Rollout, _Mapping]] = ...) -> None: ...
