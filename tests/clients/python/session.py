"""A session with a running service, as an order service in Python would have it.

    python session.py 127.0.0.1:50051

The stubs are generated from proto/, so the contract itself is tested and not a copy of it. Each check prints a line.
The first check that fails ends the session with exit code 1.
"""

import importlib.resources
import sys
import tempfile
import time
import uuid
from pathlib import Path

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parents[3] / "proto"
CALL_SECONDS_MAX = 10
EXPIRY_SECONDS_MAX = 15


def generate_stubs(folder):
    """Does what `python -m grpc_tools.protoc` does."""
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    arguments = [f"-I{PROTO}", f"-I{well_known}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    if protoc.main(["protoc", *arguments, *files]) != 0:
        sys.exit("FAILED stubs could not be generated")
    sys.path.insert(0, folder)


def check(what, actual, expected):
    if actual != expected:
        sys.exit(f"FAILED {what}: expected {expected!r}, got {actual!r}")
    print(f"ok {what}")


class Refusal:
    """A refused call: its code and the details that the service sent along."""

    def __init__(self, error):
        status = rpc_status.from_call(error)
        if status is None:
            sys.exit(f"FAILED {error.code()} came without details: {error.details()}")
        self.code = error.code().name
        self.details = status.details

    def detail(self, kind):
        for detail in self.details:
            message = kind()
            if detail.Unpack(message):
                return message
        sys.exit(f"FAILED {self.code} has no {kind.DESCRIPTOR.name}")

    @property
    def reason(self):
        info = self.detail(error_details_pb2.ErrorInfo)
        return f"{info.domain} {self.code} {info.reason}"


def refused(call, request):
    try:
        answer = call(request, timeout=CALL_SECONDS_MAX)
    except grpc.RpcError as error:
        return Refusal(error)
    sys.exit(f"FAILED a refusal was due, got {answer!r}")


def run(channel):
    from stockhold.v1 import reservation_service_pb2 as r
    from stockhold.v1 import stock_service_pb2 as s
    from stockhold.v1.reservation_service_pb2_grpc import ReservationServiceStub
    from stockhold.v1.stock_service_pb2_grpc import StockServiceStub

    location = f"python-{uuid.uuid4()}"
    reservations, stock = ReservationServiceStub(channel), StockServiceStub(channel)

    def ask(call, request):
        return call(request, timeout=CALL_SECONDS_MAX)

    def line(sku, quantity):
        return r.Line(sku=sku, quantity=quantity)

    def reserve(reservation_id, *lines, ttl_seconds=600):
        request = r.ReserveRequest(location=location, reservation_id=reservation_id, lines=lines)
        request.ttl.FromSeconds(ttl_seconds)
        return request

    def confirm(reservation_id, *lines, **more):
        return r.ConfirmRequest(location=location, reservation_id=reservation_id, lines=lines, **more)

    def get(reservation_id):
        return r.GetReservationRequest(location=location, reservation_id=reservation_id)

    def state(answer):
        return r.ReservationState.Name(answer.reservation.state).removeprefix("RESERVATION_STATE_")

    def lines(answer):
        return {line.sku: line.quantity for line in answer.reservation.lines}

    def counts(*skus):
        answer = ask(stock.GetStock, s.GetStockRequest(location=location, skus=skus))
        return {item.sku: (item.on_hand, item.held, item.available) for item in answer.items}

    # Stock comes in.
    items = [s.SetStockItem(sku="sku-a", on_hand=10), s.SetStockItem(sku="sku-b", on_hand=5, floor=1)]
    set_stock = s.SetStockRequest(location=location, request_id="count-1", items=items)
    versions = [item.version for item in ask(stock.SetStock, set_stock).items]
    check("SetStock again changes nothing", [i.version for i in ask(stock.SetStock, set_stock).items], versions)
    check("GetStock", counts("sku-b", "sku-a"), {"sku-a": (10, 0, 10), "sku-b": (5, 0, 4)})

    items = [s.SetStockItem(sku="sku-a", on_hand=99, expected_version=0)]
    refusal = refused(stock.SetStock, s.SetStockRequest(location=location, request_id="count-2", items=items))
    check("SetStock of a sku that is there already", refusal.reason, "stockhold ABORTED VERSION_MISMATCH")
    items = [s.SetStockItem(sku="sku-a", on_hand=99)]
    refusal = refused(stock.SetStock, s.SetStockRequest(location=location, request_id="count-1", items=items))
    check("SetStock, id used", refusal.reason, "stockhold ALREADY_EXISTS REQUEST_ID_REUSED")

    # An order, from hold to sale.
    held = ask(reservations.Reserve, reserve("order-1", line("sku-b", 1), line("sku-a", 3), line("sku-a", 1)))
    check("Reserve", (state(held), lines(held)), ("HELD", {"sku-a": 4, "sku-b": 1}))
    lifetime_seconds = held.reservation.expire_time.seconds - held.reservation.create_time.seconds
    check("Reserve names the lifetime", lifetime_seconds, 600)
    again = ask(reservations.Reserve, reserve("order-1", line("sku-a", 4), line("sku-b", 1)))
    check("Reserve again", again, held)
    refusal = refused(reservations.Reserve, reserve("order-1", line("sku-a", 1)))
    check("Reserve, id used", refusal.reason, "stockhold ALREADY_EXISTS RESERVATION_ID_REUSED")
    check("held units are not available", counts("sku-a", "sku-b"), {"sku-a": (10, 4, 6), "sku-b": (5, 1, 3)})
    check("GetReservation", ask(reservations.GetReservation, get("order-1")).reservation, held.reservation)
    sold = ask(reservations.Confirm, confirm("order-1"))
    check("Confirm", (state(sold), lines(sold)), ("CONFIRMED", {"sku-a": 4, "sku-b": 1}))
    check("Confirm again", lines(ask(reservations.Confirm, confirm("order-1"))), lines(sold))
    check("sold units are gone", counts("sku-a", "sku-b"), {"sku-a": (6, 0, 6), "sku-b": (4, 0, 3)})

    # A refusal says why, in a form that a program can read.
    refusal = refused(reservations.Reserve, reserve("order-2", line("sku-a", 7), line("sku-b", 9)))
    check("Reserve of too much", refusal.reason, "stockhold FAILED_PRECONDITION INSUFFICIENT_STOCK")
    failure = refusal.detail(error_details_pb2.PreconditionFailure)
    check("it names what is short", [violation.subject for violation in failure.violations], ["sku-a", "sku-b"])
    check("it names a request id", bool(refusal.detail(error_details_pb2.RequestInfo).request_id), True)
    refusal = refused(reservations.Reserve, reserve("order-2", line("sku-x", 1)))
    check("Reserve of an unknown sku", refusal.reason, "stockhold NOT_FOUND UNKNOWN_SKU")
    check("it names the sku", refusal.detail(error_details_pb2.ResourceInfo).resource_name, "sku-x")
    refusal = refused(reservations.Reserve, reserve("order-2", line("sku-a", 1), line("sku-b", 0)))
    check("Reserve of nothing", refusal.reason, "stockhold INVALID_ARGUMENT INVALID_FIELD")
    fields = [violation.field for violation in refusal.detail(error_details_pb2.BadRequest).field_violations]
    check("it names the field", fields, ["lines[1].quantity"])
    refusal = refused(reservations.Confirm, confirm("order-2"))
    check("Confirm of what was never reserved", refusal.reason, "stockhold NOT_FOUND RESERVATION_NOT_FOUND")

    # A part of an order.
    ask(reservations.Reserve, reserve("order-3", line("sku-a", 3), line("sku-b", 2)))
    part = ask(reservations.Confirm, confirm("order-3", line("sku-a", 1)))
    check("Confirm of a part", (state(part), lines(part)), ("CONFIRMED", {"sku-a": 1}))
    check("the rest is given back", counts("sku-a", "sku-b"), {"sku-a": (5, 0, 5), "sku-b": (4, 0, 3)})
    refusal = refused(reservations.Confirm, confirm("order-3", line("sku-a", 2)))
    check("Confirm with other lines", refusal.reason, "stockhold FAILED_PRECONDITION CONFIRM_MISMATCH")

    # An order that is abandoned.
    ask(reservations.Reserve, reserve("order-4", line("sku-a", 5)))
    cancel = r.CancelRequest(location=location, reservation_id="order-4")
    check("Cancel", state(ask(reservations.Cancel, cancel)), "CANCELLED")
    check("Cancel again", state(ask(reservations.Cancel, cancel)), "CANCELLED")
    check("its units are available", counts("sku-a"), {"sku-a": (5, 0, 5)})
    refusal = refused(reservations.Confirm, confirm("order-4"))
    check("Confirm of a cancelled one", refusal.reason, "stockhold FAILED_PRECONDITION RESERVATION_CANCELLED")
    refusal = refused(reservations.Cancel, r.CancelRequest(location=location, reservation_id="order-1"))
    check("Cancel of a confirmed one", refusal.reason, "stockhold FAILED_PRECONDITION RESERVATION_CONFIRMED")

    # An order that takes its time.
    slow = ask(reservations.Reserve, reserve("order-5", line("sku-a", 2)))
    late = ask(reservations.Reserve, reserve("order-6", line("sku-b", 1), ttl_seconds=1))
    extend = r.ExtendRequest(location=location, reservation_id="order-5", expire_time=slow.reservation.expire_time)
    extend.expire_time.seconds += 600
    check("Extend", ask(reservations.Extend, extend).reservation.expire_time, extend.expire_time)
    deadline = time.monotonic() + EXPIRY_SECONDS_MAX
    while state(late) != "EXPIRED" and time.monotonic() < deadline:
        time.sleep(0.02)
        late = ask(reservations.GetReservation, get("order-6"))
    check("a hold ends by itself", state(late), "EXPIRED")
    refusal = refused(reservations.Confirm, confirm("order-6"))
    check("Confirm comes too late", refusal.reason, "stockhold FAILED_PRECONDITION RESERVATION_EXPIRED")
    revived = ask(reservations.Confirm, confirm("order-6", late_policy=r.LATE_POLICY_REACQUIRE))
    check("Confirm takes the stock again", state(revived), "CONFIRMED")

    # Lists, page by page.
    ask(reservations.Reserve, reserve("order-7", line("sku-b", 1)))

    def pages(call, request):
        while True:
            page = ask(call, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    found = pages(reservations.ListReservations, r.ListReservationsRequest(location=location, page_size=1))
    ids = sorted(reservation.reservation_id for page in found for reservation in page.reservations)
    check("ListReservations", ids, ["order-5", "order-7"])
    by_sku = r.ListReservationsRequest(location=location, sku="sku-b")
    found = pages(reservations.ListReservations, by_sku)
    ids = [reservation.reservation_id for page in found for reservation in page.reservations]
    check("ListReservations of a sku", ids, ["order-7"])
    found = pages(stock.ListStock, s.ListStockRequest(location=location, page_size=1))
    check("ListStock", [item.sku for page in found for item in page.items], ["sku-a", "sku-b"])

    # Supply changes while selling goes on.
    change = s.AdjustStockRequest(location=location, request_id="receipt-1", reason="receipt")
    change.changes.add(sku="sku-a", delta=20)
    check("AdjustStock", [item.on_hand for item in ask(stock.AdjustStock, change).items], [25])
    check("AdjustStock again changes nothing", [item.on_hand for item in ask(stock.AdjustStock, change).items], [25])
    report = ask(stock.Reconcile, s.ReconcileRequest(location=location, validate_only=True))
    check("the stores agree", report.finding_count, 0)

    # Many at once: in one call, then on one stream. Stock is short on purpose.
    requests = [reserve(f"many-{number}", line("sku-a", 9)) for number in range(3)]
    outcomes = ask(reservations.ReserveMany, r.ReserveManyRequest(requests=requests)).outcomes
    kinds = sorted(outcome.WhichOneof("outcome") for outcome in outcomes)
    check("ReserveMany", kinds, ["error", "reservation", "reservation"])
    error = next(outcome.error for outcome in outcomes if outcome.HasField("error"))
    info = error_details_pb2.ErrorInfo()
    # An Error has the fields of a google.rpc.Status.
    status = status_pb2.Status.FromString(error.SerializeToString())
    check("an outcome has the details of an error", [d.Unpack(info) for d in status.details].count(True), 1)
    check("it has a reason", info.reason, "INSUFFICIENT_STOCK")
    held = [outcome.reservation.reservation_id for outcome in outcomes if outcome.HasField("reservation")]
    asked = [r.SessionRequest(id=id, confirm=confirm(held[id])) for id in (0, 1)]
    asked.append(r.SessionRequest(id=2, get_reservation=get("order-1")))
    asked.append(r.SessionRequest(id=3, cancel=r.CancelRequest(location=location, reservation_id="order-1")))
    answers = {answer.id: answer.outcome for answer in reservations.Session(iter(asked), timeout=CALL_SECONDS_MAX)}
    ends = {id: state(answers[id]) for id in (0, 1, 2)}
    check("Session", ends, dict.fromkeys((0, 1, 2), "CONFIRMED"))
    check("a refusal in a Session", answers[3].error.code, grpc.StatusCode.FAILED_PRECONDITION.value[0])

    # Older tools ask for the descriptors under the old name of reflection.
    services = set(ProtoReflectionDescriptorDatabase(channel).get_services())
    expected = {"stockhold.v1.ReservationService", "stockhold.v1.StockService"}
    check("reflection v1alpha", services & expected, expected)


def main():
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} HOST:PORT")
    with tempfile.TemporaryDirectory() as stubs, grpc.insecure_channel(sys.argv[1]) as channel:
        generate_stubs(stubs)
        run(channel)


if __name__ == "__main__":
    main()
