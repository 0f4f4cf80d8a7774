"""Addresses: many owners' at once, each by look-up, POST and, when that was refused, one more look-up.

NetBox refuses a second object of the same owner (the custom field is unique) and a second of the same address. It does
so under the one lock through which all its writes of addresses go. So a POST either made what is asked for, or the
look-up after it says who has it. One that was lost on the way is found by the look-up before the next."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from http import HTTPStatus
from typing import cast

import msgspec

from drivers.base import About, Conflict, Exhausted, Rejected, Unreadable
from drivers.ipam.addresses import family_of_number, prefix_length, size, subtract, text_of
from drivers.ipam.hints import CREATE_NETWORK, ENLARGE_NETWORK, ONE_ADDRESS, apply_again
from drivers.ipam.netbox.netbox_records import ADDRESSES, NETWORK, OWNER, PREFIXES, Records
from drivers.ipam.netbox.netbox_rows import AddressRow, PrefixRow, extra_data
from drivers.ipam.netbox.netbox_wire import NetboxRefused, Record


class AddressRequest(msgspec.Struct, frozen=True):
    """What one owner asks for: `number`, or else the lowest free address of `family`."""

    network: str
    owner: str
    number: int | None
    family: int | None
    about: About


Answered = int | Exception


class Acquiring:
    """Gives addresses to owners, batch by batch (netbox_batch)."""

    def __init__(self, records: Records) -> None:
        self._records = records

    @staticmethod
    def key(ask: AddressRequest) -> Hashable:
        """What can be sent together."""
        return ask.network, ask.family, ask.number is None

    def send(self, key: Hashable, asks: Sequence[AddressRequest]) -> list[Answered]:
        """An answer for each, by position. All are for one network, and all name an address or none does.

        If an object of one of them is not valid, each is requested separately, so that only this one fails.
        """
        try:
            return self._send(asks)
        except Unreadable as error:
            return [error] if len(asks) == 1 else [answer for ask in asks for answer in self.send(key, [ask])]

    def _send(self, asks: Sequence[AddressRequest]) -> list[Answered]:
        network = asks[0].network
        self._records.set_up()
        held = self._records.held_by({ask.owner for ask in asks})
        answers: dict[str, Answered] = {}
        # The same owner may ask twice at once, when a lost request is repeated.
        open_ = list({ask.owner: ask for ask in asks if ask.owner not in held}.values())
        if open_:
            rows = self._rows(network)
            tenants = self._records.tenants(ask.about.project for ask in open_)
            give = self._lowest if open_[0].number is None else self._given
            answers = give(rows, open_, tenants)
        return [_checked(ask, held[ask.owner]) if ask.owner in held else self._answer(ask, answers) for ask in asks]

    def _answer(self, ask: AddressRequest, answers: dict[str, Answered]) -> Answered:
        answer = answers[ask.owner]
        if isinstance(answer, int) and ask.number not in (None, answer):
            return _holds_already(ask.owner, answer, ask.network)
        return answer

    def _rows(self, network: str) -> list[PrefixRow]:
        """The network's prefixes. Raises Rejected when it is not known, or a container."""
        found = self._records.prefixes((), **{f"cf_{NETWORK}": network})
        rows = [row for row in found if row.network == network]
        if not rows:
            raise Rejected(f"network {network} is not in the IPAM; {CREATE_NETWORK}")
        if rows[0].container:
            raise Rejected(
                f"network {network} is a container for child networks and has no addresses; name one of its child "
                "networks instead"
            )
        return rows

    # The lowest free one

    def _lowest(
        self, rows: Sequence[PrefixRow], asks: Sequence[AddressRequest], tenants: dict[str, int | None]
    ) -> dict[str, Answered]:
        """From one prefix after the other, of the family that all of them ask for."""
        family = asks[0].family
        fitting = [row for row in rows if family in (None, row.block.family)]
        answers: dict[str, Answered] = {}
        left = list(asks)
        for row in fitting:
            some = self._from(row, left, tenants)
            answers |= some
            left = [ask for ask in left if ask.owner not in answers]
            if not left:
                break
        return answers | {ask.owner: _exhausted(ask, fitting) for ask in left}

    def _from(
        self, row: PrefixRow, asks: Sequence[AddressRequest], tenants: dict[str, int | None]
    ) -> dict[str, Answered]:
        """What a prefix gives; those for whom it has nothing are left out."""
        path = f"{PREFIXES}{row.id}/available-ips/"
        try:
            made = self._records.wire.post(path, [self._body(ask, tenants) for ask in asks])
        except NetboxRefused as refused:
            if refused.status == HTTPStatus.CONFLICT:
                return self._what_is_left(row, asks, tenants)
            return self._refused(refused, asks, lambda some: self._from(row, some, tenants))
        return self._taken(row, asks, made)

    def _what_is_left(
        self, row: PrefixRow, asks: Sequence[AddressRequest], tenants: dict[str, int | None]
    ) -> dict[str, Answered]:
        """The prefix has too few for all: give what it has to the first of them."""
        if len(asks) == 1:
            return {}
        room = len(self._records.wire.available(f"{PREFIXES}{row.id}/available-ips/", len(asks)))
        # Someone else may have taken of them meanwhile, so always fewer than were just refused.
        some = asks[: min(room, len(asks) - 1)]
        return self._from(row, some, tenants) if some else {}

    def _taken(self, row: PrefixRow, asks: Sequence[AddressRequest], made: Sequence[Record]) -> dict[str, Answered]:
        """The created addresses without reserved ones: a person has removed the IP range that reserves them."""
        answers: dict[str, Answered] = {}
        wrong: list[AddressRow] = []
        for ask, record in zip(asks, made, strict=True):
            one = self._records.address(record)
            answers[ask.owner] = one.number
            if subtract([(one.number, one.number)], row.declared.usable):
                wrong.append(one)
                answers[ask.owner] = Conflict(
                    f"NetBox gave {text_of(one.number)} of {row.block.cidr}, which is reserved in network "
                    f"{row.network}. In NetBox, the IP range of this address is missing, or 'Mark Populated' is not "
                    f"set on that range. Nothing was allocated; {apply_again('network', row.network)}"
                )
        if wrong:
            self._records.wire.delete(ADDRESSES, [{"id": one.id} for one in wrong])
        return answers

    # A given one

    def _given(
        self, rows: Sequence[PrefixRow], asks: Sequence[AddressRequest], tenants: dict[str, int | None]
    ) -> dict[str, Answered]:
        answers: dict[str, Answered] = {}
        good: list[AddressRequest] = []
        taken = self._records.at({ask.number for ask in asks if ask.number is not None}, rows[0].vrf)
        claimed: dict[int, str] = {}
        for ask in asks:
            number = cast("int", ask.number)
            error = _misplaced(ask, rows) or _taken_already(ask, taken)
            if error is None and number in claimed:
                error = Conflict(_held_by(ask, claimed[number]))
            if error is not None:
                answers[ask.owner] = error
            else:
                claimed[number] = ask.owner
                good.append(ask)
        return answers | (self._post(rows, good, tenants) if good else {})

    def _post(
        self, rows: Sequence[PrefixRow], asks: Sequence[AddressRequest], tenants: dict[str, int | None]
    ) -> dict[str, Answered]:
        bodies = [{**self._place(rows, ask), **self._body(ask, tenants)} for ask in asks]
        try:
            self._records.wire.post(ADDRESSES, bodies)
        except NetboxRefused as refused:
            return self._refused(refused, asks, lambda some: self._post(rows, some, tenants))
        return {ask.owner: cast("int", ask.number) for ask in asks}

    def _place(self, rows: Sequence[PrefixRow], ask: AddressRequest) -> Record:
        number = cast("int", ask.number)
        row = next(row for row in rows if row.block.lo <= number <= row.block.hi)
        return {"address": f"{text_of(number)}/{prefix_length(row.block.lo, row.block.hi)}", "vrf": row.vrf}

    # Both

    def _body(self, ask: AddressRequest, tenants: dict[str, int | None]) -> Record:
        """What is written of an allocation beside its address."""
        return {
            "status": "active",
            "dns_name": ask.about.dns_name,
            "tenant": tenants[ask.about.project],
            **self._records.marks(ask.owner, ask.network, extra_data(ask.about)),
        }

    def _refused(
        self,
        refused: NetboxRefused,
        asks: Sequence[AddressRequest],
        again: Callable[[Sequence[AddressRequest]], dict[str, Answered]],
    ) -> dict[str, Answered]:
        """Nothing of the batch was created. A refused item gets its own answer; the others are sent again without it.

        Each round is smaller, so this ends; a batch whose refusal names no item is sent one by one.
        """
        if len(asks) == 1:
            return {asks[0].owner: self._alone(refused, asks[0])}
        bad = _positions(refused.body, len(asks)) or set(range(len(asks)))
        answers: dict[str, Answered] = {}
        good = [ask for place, ask in enumerate(asks) if place not in bad]
        if good:
            answers |= again(good)
        for place in sorted(bad):
            answers |= again([asks[place]])
        return answers

    def _alone(self, refused: NetboxRefused, ask: AddressRequest) -> Answered:
        """Why this one was refused: look again, as another process may have been quicker."""
        row = self._records.held_by([ask.owner]).get(ask.owner)
        if row is not None:
            return _checked(ask, row)
        if ask.number is not None:
            prefixes = self._rows(ask.network)
            error = _taken_already(ask, self._records.at([ask.number], prefixes[0].vrf))
            if error is not None:
                return error
        return refused


def _checked(ask: AddressRequest, row: AddressRow) -> Answered:
    """What the owner holds, when it is what it asks for."""
    if not row.tagged:
        return Conflict(
            f"{ask.owner} has {text_of(row.number)} in NetBox ({row.url}), but the tag of groundstate was removed from "
            f"the object. In NetBox, add the tag again, or clear the field {OWNER} of the object"
        )
    wrong = ask.number not in (None, row.number) or ask.family not in (None, family_of_number(row.number))
    if row.network != ask.network or wrong:
        return _holds_already(ask.owner, row.number, row.network)
    return row.number


def _holds_already(owner: str, number: int, network: str) -> Conflict:
    return Conflict(f"{owner} already holds {text_of(number)} in network {network}; {ONE_ADDRESS}")


def _exhausted(ask: AddressRequest, rows: Sequence[PrefixRow]) -> Exhausted:
    kind = f"IPv{ask.family} address" if ask.family else "address"
    total = sum(size(row.declared.usable) for row in rows)
    prefixes = ", ".join(row.block.cidr for row in rows) or "none"
    return Exhausted(
        f"network {ask.network} has no free {kind}: all {total} of its prefixes ({prefixes}) are held; "
        f"{ENLARGE_NETWORK}"
    )


def _misplaced(ask: AddressRequest, rows: Sequence[PrefixRow]) -> Conflict | None:
    number = cast("int", ask.number)
    around = next((row for row in rows if row.block.lo <= number <= row.block.hi), None)
    what = f"{text_of(number)} in network {ask.network}"
    if around is None:
        prefixes = ", ".join(row.block.cidr for row in rows)
        return Conflict(
            f"{text_of(number)} is outside of network {ask.network} (prefixes: {prefixes}); request another address"
        )
    if subtract([(number, number)], around.declared.usable):
        return Conflict(f"{what} is reserved; request another address")
    return None


def _taken_already(ask: AddressRequest, taken: dict[int, AddressRow]) -> Conflict | None:
    row = taken.get(cast("int", ask.number))
    return None if row is None else Conflict(_held_by(ask, row.holder))


def _held_by(ask: AddressRequest, holder: str) -> str:
    return f"{text_of(cast('int', ask.number))} in network {ask.network} is held by {holder}; request another address"


def _positions(body: object, total: int) -> set[int]:
    """Which of a list NetBox refused: by `index` (4.7, plain lists), or an empty place for each that it did not."""
    errors = body.get("errors") if isinstance(body, dict) else body
    if not isinstance(errors, list):
        return set()
    indexed = [one.get("index") for one in errors if isinstance(one, dict)]
    if errors and all(isinstance(index, int) and 0 <= index < total for index in indexed):
        return {index for index in indexed if isinstance(index, int)}
    return {place for place, one in enumerate(errors) if one} if len(errors) == total else set()
