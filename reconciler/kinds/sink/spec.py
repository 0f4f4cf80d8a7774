"""EventSink: the receiver of events, how it is reached, and which events it gets."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from drivers.base import Tls
from reconciler.kinds.common.field_types.bmc_access import CredentialRef
from reconciler.kinds.common.field_types.fields import KindName, RenamedFrom, Spec, Text, names_of, reference_field
from reconciler.model.event import EventReason

WEBHOOK, NATS = "webhook", "nats"
"""Drivers, which are also the names of the fields that configure them."""

_PERIOD_OF_CHANGE = "while receivers change from the old secret to the new one"


class SinkTls(Spec, frozen=True, kw_only=True):
    """How the receiver's certificate is trusted. Without a field: by the system's certificate authorities."""

    ca_file: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="A PEM file with the certificates of the authorities to trust. For a file outside of the "
                "folder of the settings, the settings need `ca_files`.",
            ),
        ]
        | None
    ) = None
    insecure: Annotated[
        bool, Meta(description="Trust any certificate, and allow a connection without TLS to another host.")
    ] = False

    def trust(self) -> Tls:
        """The driver's form."""
        return Tls(ca_file=self.ca_file, insecure=self.insecure)


class WebhookSpec(Spec, frozen=True, kw_only=True):
    """An HTTP receiver. Each event is one POST, signed as Standard Webhooks says."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^https?://[^\s/?#]+[^\s#]*$",
            max_length=2048,
            description="Where events are sent. Plain http only to this host itself (loopback), or with "
            "`tls.insecure`.",
            examples=["https://hooks.example/groundstate"],
        ),
    ]
    secret_ref: Annotated[
        CredentialRef,
        Meta(
            description="The source of the secret that signs each event: a text, `whsec_` and base64 or any other. The "
            "secret is never sent."
        ),
    ]
    previous_secret_ref: (
        Annotated[
            CredentialRef,
            Meta(description=f"A second secret that signs each event too, {_PERIOD_OF_CHANGE}."),
        ]
        | None
    ) = None
    tls: Annotated[SinkTls, Meta(description="How groundstate checks the receiver's certificate.")] = SinkTls()


class NatsSpec(Spec, frozen=True, kw_only=True):
    """A stream of NATS JetStream. Each event is one message with the subject `gs.KIND.NAME.REASON`."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^(nats|tls)://[^\s/?#]+$",
            max_length=2048,
            description="The server. `tls://` uses TLS; `nats://` does not, and is allowed only to this host itself "
            "(loopback), or with `tls.insecure`.",
            examples=["tls://nats.example:4222"],
        ),
    ]
    stream: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_-]+$",
            max_length=255,
            description="The stream that must take the events. It must exist, and its subjects must include `gs.>`.",
            examples=["GROUNDSTATE"],
        ),
    ]
    credential_ref: (
        Annotated[CredentialRef, Meta(description="The source of the user and password of the server.")] | None
    ) = None
    tls: Annotated[SinkTls, Meta(description="How groundstate checks the server's certificate.")] = SinkTls()


class SendSpec(Spec, frozen=True, kw_only=True):
    """Which events are sent: those that fulfil all conditions. Without a condition: all events."""

    types: Annotated[
        tuple[Literal["Normal", "Warning"], ...],
        Meta(max_length=2, description="Only events of these types.", examples=[["Warning"]]),
    ] = ()
    reasons: Annotated[
        tuple[EventReason, ...],
        Meta(max_length=128, description="Only events with one of these reasons.", examples=[["ActionSent"]]),
    ] = ()
    kinds: Annotated[
        tuple[KindName, ...],
        Meta(
            max_length=32,
            description="Only events about resources of these kinds. Events about the fleet as a whole are left out.",
            examples=[["Machine"]],
        ),
    ] = ()
    selector: Annotated[
        str,
        Meta(
            max_length=1024,
            description="Only events about resources that had these labels when the event was recorded, written as "
            "for `-l`. Labels that groundstate derives count too. A removed resource has its last ones.",
            examples=["rack in (r12,r13)"],
        ),
    ] = ""
    project: (
        Annotated[
            str,
            reference_field(
                "Project", "Only events about resources that belonged to this Project when the event was recorded."
            ),
        ]
        | None
    ) = None


class SinkPause(Spec, frozen=True, kw_only=True):
    """A pause, and why."""

    reason: Annotated[Text, Meta(min_length=1, description="Why, for people.")]


class EventSinkSpec(Spec, frozen=True, kw_only=True):
    """Where the daemon sends events: exactly one of webhook and nats."""

    webhook: Annotated[WebhookSpec, Meta(description="Send to an HTTP receiver.")] | None = None
    nats: Annotated[NatsSpec, Meta(description="Send to a stream of NATS JetStream.")] | None = None
    send: Annotated[SendSpec, Meta(description="Which events are sent. The default is all events.")] = SendSpec()
    suspend: (
        Annotated[SinkPause, Meta(description="Send nothing for now. Events are kept, and are sent after the pause.")]
        | None
    ) = None

    renamed_from: RenamedFrom | None = None

    @property
    def former(self) -> tuple[str, ...]:
        """The names that it had before."""
        return names_of(self.renamed_from)

    @property
    def driver(self) -> str:
        """The name of the driver."""
        return WEBHOOK if self.webhook is not None else NATS

    @property
    def target(self) -> WebhookSpec | NatsSpec:
        """How the receiver is reached. Raises ValueError for a document without one, which validation refuses."""
        found = self.webhook or self.nats
        if found is None:
            raise ValueError("the sink has neither webhook nor nats")
        return found
