"""Metrics against sums done by hand, and what callers cannot make of them."""

from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families

from cloud_server.observability.book_sums import ProcessCosts
from cloud_server.observability.call_book import INFER_STREAM, CallBook, Method
from cloud_server.observability.greeting_book import Greeting
from cloud_server.observability.request_book import RequestBook
from cloud_server.observability.server_metrics import ServedFacts, add_server_metrics
from cloud_server.observability.upkeep_metrics import UpkeepFacts
from protos.serving.answers import Job, Spent
from protos.wire.framing import encode_response

KEY = ("digits.cut-01", "7")
FACTS: dict[str, Any] = {
    "models": {KEY: ("digits", "cut-01"), ("digits", "7"): ("digits", "cloud")},
    "bundles": [("digits", "7", "abc")],
    "tail_bytes": {KEY: 1000},
    "pages": {("GET", "/livez", "200"): 3},
    "greetings": {Greeting.SERVED: 5, Greeting.OTHER_VERSION: 2, Greeting.NO_BUNDLE: 0},
    "loads": 4,
    "failed_loads": 1,
    "load_s": 2.5,
    "evictions": 3,
    "ready": True,
    "missing_replicas": 2,
    "replicas": {1: ProcessCosts(cpu_s=1.5, resident_bytes=77)},
    "upkeep": UpkeepFacts(
        refused={"faces"},
        rollouts=[("digits", "abc", "back", 0.25)],
        certificates={"own": (1.7e9, 1.8e9)},
        disks={"bundles": (3, 8)},
        tail_budget_bytes=500,
        memory_limit_bytes=900,
    ),
}
MS = 1_000_000
Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


class Clock:
    ns = 0

    def __call__(self) -> int:
        return self.ns


def shown(requests: RequestBook, calls: CallBook) -> Samples:
    registry = CollectorRegistry(auto_describe=False)
    add_server_metrics(registry, requests, calls, lambda: ServedFacts(**FACTS))
    found: Samples = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def of(samples: Samples, name: str, **labels: str) -> float:
    """The one sample with at least these labels."""
    (value,) = (value for have, value in samples[name].items() if set(labels.items()) <= set(have))
    return value


def served_requests() -> RequestBook:
    """Two answers of 3 and 1 rows that ran together; one refusal; one name that nobody has."""
    clock = Clock()
    book = RequestBook(clock)
    for rows, total_ms in ((3, 10), (1, 20)):
        job = Job(bytes(100), encode_response)
        job.received_ns, job.served = 0, KEY
        clock.ns = total_ms * MS
        book.answered(job, Spent(2 * MS, 1 * MS, rows * MS, 500_000, rows), 30)
    book.executed(KEY, 4, 2 * MS, 4 * MS, 1 * MS)
    for code in ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "CANCELLED", "INTERNAL"):
        failed = Job(bytes(7), encode_response)
        failed.served = KEY
        book.failed(failed, code)
    book.failed(Job(bytes(5), encode_response), "NOT_FOUND")
    waiting = Job(b"", encode_response)
    waiting.served = KEY
    book.entered(waiting)
    return book


def test_requests_are_shown_as_triton_shows_them() -> None:
    found = shown(served_requests(), CallBook())
    whose = {"model": "digits.cut-01", "version": "7", "bundle": "digits", "cut": "cut-01"}
    wanted = {
        "nv_inference_request_success": 2,
        "nv_inference_count": 4,
        "nv_inference_exec_count": 1,
        "nv_inference_request_duration_us": 30_000,
        "nv_inference_queue_duration_us": 4_000,
        "nv_inference_compute_input_duration_us": 2_000,
        "nv_inference_compute_infer_duration_us": 4_000,
        "nv_inference_compute_output_duration_us": 1_000,
        "nv_inference_pending_request_count": 1,
    }
    assert {name: of(found, name, **whose) for name in wanted} == wanted
    for reason in ("REJECTED", "OTHER", "CANCELED", "BACKEND"):
        assert of(found, "nv_inference_request_failure", reason=reason, **whose) == 1
    assert of(found, "splitpoint_quota_refusals_total", **whose) == 0
    assert of(found, "nv_inference_request_failure", model="", reason="OTHER") == 1
    assert of(found, "nv_inference_pending_request_count", model="digits") == 0


def test_bytes_times_and_batches_add_up() -> None:
    found = shown(served_requests(), CallBook())
    whose = {"model": "digits.cut-01"}
    assert of(found, "splitpoint_request_bytes_total", **whose) == 2 * 100 + 4 * 7
    assert of(found, "splitpoint_answer_bytes_total", **whose) == 60
    assert of(found, "splitpoint_request_failures_total", code="INTERNAL", **whose) == 1
    # 10 ms is in the bucket up to 16, 20 ms in that up to 32.
    seconds = "splitpoint_request_seconds"
    assert [of(found, f"{seconds}_bucket", le=le, **whose) for le in ("0.008", "0.016", "0.032")] == [
        0, 1, 2,
    ]  # fmt: skip
    assert of(found, f"{seconds}_bucket", le="+Inf", **whose) == 2
    assert (of(found, f"{seconds}_sum", **whose), of(found, f"{seconds}_count", **whose)) == (
        0.03,
        2,
    )
    assert of(found, "splitpoint_compute_seconds_sum", **whose) == 0.004
    # One run of four rows.
    rows = "splitpoint_batch_rows"
    assert [of(found, f"{rows}_bucket", le=le, **whose) for le in ("2", "4", "+Inf")] == [0, 1, 1]
    assert (of(found, f"{rows}_sum", **whose), of(found, f"{rows}_count", **whose)) == (4, 1)


def test_calls_are_shown_as_go_grpc_prometheus_shows_them() -> None:
    clock = Clock()
    book = CallBook(clock)
    stream = Method(INFER_STREAM, "bidi_stream")
    ended, other, same = (book.begin(stream, peer) for peer in ("a", "b", "b"))
    for call, messages in ((ended, 3), (other, 1)):
        for _ in range(messages):
            call.received()
    ended.sent()
    clock.ns = 40 * MS
    book.end(ended, "UNAVAILABLE")
    book.end(book.begin(Method("/splitpoint.v1.Splitpoint/Probe", "unary"), "a"), "OK")
    found = shown(RequestBook(), book)
    whose = {
        "grpc_type": "bidi_stream",
        "grpc_service": "inference.GRPCInferenceService",
        "grpc_method": "ModelStreamInfer",
    }
    assert of(found, "grpc_server_started_total", **whose) == 3
    assert of(found, "grpc_server_handled_total", grpc_code="UNAVAILABLE", **whose) == 1
    assert of(found, "grpc_server_msg_received_total", **whose) == 4
    assert of(found, "grpc_server_msg_sent_total", **whose) == 1
    assert of(found, "grpc_server_handling_seconds_sum", **whose) == 0.04
    assert of(found, "grpc_server_handling_seconds_bucket", le="0.032", **whose) == 0
    assert of(found, "grpc_server_handling_seconds_bucket", le="0.064", **whose) == 1
    assert of(found, "grpc_server_handled_total", grpc_method="Probe", grpc_code="OK") == 1
    assert (of(found, "splitpoint_open_streams"), of(found, "splitpoint_connected_devices")) == (
        2,
        1,
    )
    assert same in book._open


def test_what_is_served_is_shown() -> None:
    found = shown(RequestBook(), CallBook())
    assert of(found, "splitpoint_ready") == 1
    assert of(found, "splitpoint_bundle_info", bundle="digits", version="7", digest="abc") == 1
    assert of(found, "splitpoint_tail_bytes", cut="cut-01") == 1000
    assert of(found, "splitpoint_tails") == 1
    counts = ("loads", "load_failures", "load_seconds", "evictions")
    assert [of(found, f"splitpoint_tail_{name}_total") for name in counts] == [4, 1, 2.5, 3]
    assert of(found, "splitpoint_http_requests_total", route="/livez", status="200") == 3
    greetings = found["splitpoint_greetings_total"]
    assert {labels[0][1]: count for labels, count in greetings.items()} == {
        "served": 5,
        "other_version": 2,
        "no_bundle": 0,
    }
    assert of(found, "process_resident_memory_bytes") > 1 << 20
    assert of(found, "splitpoint_replica_cpu_seconds_total", replica="1") == 1.5
    assert of(found, "splitpoint_replica_resident_bytes", replica="1") == 77


def test_what_somebody_has_to_look_after_is_shown() -> None:
    found = shown(RequestBook(), CallBook())
    assert of(found, "splitpoint_bundle_refused", bundle="faces") == 1
    states = ("running", "held", "back")
    whose = {"bundle": "digits", "version": "abc"}
    assert [of(found, "splitpoint_rollout_state", state=each, **whose) for each in states] == [
        0, 0, 1,
    ]  # fmt: skip
    assert of(found, "splitpoint_rollout_share_ratio", **whose) == 0.25
    assert of(found, "splitpoint_tls_certificate_not_after_seconds", certificate="own") == 1.8e9
    assert of(found, "splitpoint_disk_free_bytes", holds="bundles") == 3
    assert of(found, "splitpoint_disk_size_bytes", holds="bundles") == 8
    assert of(found, "splitpoint_tail_budget_bytes") == 500
    assert of(found, "splitpoint_memory_limit_bytes") == 900
    assert of(found, "splitpoint_tls_certificate_not_before_seconds", certificate="own") == 1.7e9


def test_page_is_also_good_openmetrics() -> None:
    registry = CollectorRegistry(auto_describe=False)
    add_server_metrics(registry, served_requests(), CallBook(), lambda: ServedFacts(**FACTS))
    names = {family.name for family in open_families(generate_openmetrics(registry).decode())}
    assert {"nv_inference_count", "splitpoint_request_seconds", "grpc_server_started"} <= names


def test_models_that_went_leave_the_books_once_nothing_of_them_is_pending() -> None:
    book = served_requests()
    book.keep([])
    assert KEY in book.tallies
    waiting = Job(b"", encode_response)
    waiting.served = KEY
    book.left(waiting)
    book.keep([KEY])
    assert KEY in book.tallies
    book.keep([("digits", "7")])
    assert list(book.tallies) == [("", "")]
