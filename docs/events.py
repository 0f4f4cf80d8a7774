"""The page of events: its prose, and where the tables of the reasons stand in it."""

PAGE = """\
# Events

{{note}}

An event is a row of the append-only ledger (`groundstate events`). In the daemon it is also a log line, and a count
in `groundstate_events_total`. It has a time, a type (`Normal` or `Warning`), a reason, and a message for people. If
they apply, it also has the resource (`key`), the `revision` in force, the `action_id`, and the actor (`by`). `about`
names the part of the resource that the event concerns, such as an action and its field. `project` and `labels` are
those that the resource had when the event was recorded. An event without a resource is about the fleet.

Events that repeat are counted, and not added to the ledger. Events repeat each other when type, reason, resource,
actor, `about`, project and labels are equal, whatever their messages say. One event of such a series carries the
numbers. `count` is how often, and `last` is the time of the last one, whose message is shown. `events`, `describe`
and `history` sort by the last time, and `events --watch` shows each repeat. A failed action is counted from the
second time on, any other event after three times in a week. After a week a new series begins. Events of a person, a
commit or a boot request are always recorded, and end the series before them.

## What was done

{{ActionSent ActionProgressed ActionConfirmed ActionRefused ActionFailed ActionNotConfirmed ActionInterrupted
ActionAbandoned ShutdownIgnored Bound Unbound Renamed ImagePinned IpamImported IpamRebuilt ReconcileRequested
OverrideBegan OverrideRevoked OverrideExpired OverrideInForce PauseBegan PauseEnded PauseExpired PauseInForce
HostDrained HostUncordoned RestartRequested RestartCancelled Restarted RestartFailed Forgotten}}

## The lifecycle of a machine

{{Placed Claimed Releasing BootRequested ScriptServed SentToDisk AgentRegistered ImageWritten DisksWiped
BootRequestEnded PhonedHome Freed Released BootRequestFailed AgentMissing AgentSilent AgentGone AgentTimedOut
AgentFailed CrashLoop FailedReclaim Recovered SystemAccepted UnexpectedFact}}

## What was found

{{DriftDetected GuardLoosening GuardLoosened Held InventoryTaken InventoryChanged InventoryUnreadable
InventoryAccepted ReadableAgain WorkerAvailable MachineFound}}

The first of several failed reads is recorded, always as a Warning, with the error as its reason:

{{errors}}

A write that was refused is sent again by the same reasons. No BMC gets the same value for the same field more than
six times an hour.

| reason | the write is sent again after |
|---|---|
| `Busy` | 5 s, then 20 s, 80 s, and so on up to 30 min. `Retry-After` of the BMC makes a wait longer. |
| `AuthenticationFailed` | 15 min, then 30 min |
| `Rejected`, `Unsupported` | Not again, until the declared or the observed value changes |
| `Unreachable`, before the write was sent | as `Busy` |
| `Unreachable`, after the write was sent | Observed first; without effect after about 20 s, then as `Busy` |

Each wait is shortened at random by up to a quarter. So the BMCs of a rack that failed together are not read all at
once.

## What is proposed

Recorded by `groundstate run --propose-branch` ([onboarding](../onboarding.md)), about the fleet.

{{MachinesProposed ProposalFailed BmcNotRead BmcNotFound NetworkTooLarge}}

## Revisions

{{RevisionApplied AccessChanged RevisionRefused RevisionUnreadable SourceUnavailable SourceSlow
SourceAvailable WatchUnavailable NotDescendant DescentUnknown RewindAllowed RevisionRewound}}

## Errors of groundstate

Bugs cost the object that they concern, and nothing else. Report them with the message, which names the line.

{{HousekeepingFailed BootServiceFailed Unknown}}

## Sinks of events

Recorded by the daemon, about an [EventSink](../events.md). They are sent to every other sink that wants them.

{{SinkFailed SinkRecovered SinkBehind SinkRemoved SinkReplayed Test}}

## Refused machines

Recorded by the [boot service](../boot.md), about the machine if the token names one. For each reason and address, one
event is recorded in ten minutes, and at most 20 for each reason. The next event says how many were left out.

{{BootAddressRefused BootMachineDoubtful TokenRefused AgentOfAnotherMachine BootRequestNotCurrent}}

## Consoles

Recorded by the [console service](../console.md), about the machine. No event has a typed byte. Of refused
logins, one event is recorded for each address in ten minutes, and at most 20 in all.

{{ConsoleOpened ConsoleClosed ConsoleWriter ConsoleBreak ConsoleRefused ConsoleLineOpen ConsoleLineLost
ConsoleNotRecorded}}

## Log lines that are no events

`Started` and `Stopped` mark the begin and the end of a run of the daemon. Between `Stopping` and `Stopped` the daemon
finishes its current steps. If it still runs after 25 s, it logs `NotStopped` with the position of each thread, and
ends with exit code 1. Actions that it sent stay on record, and are observed first at the next start.

`StepFailed` is a reconcile that ended in an unexpected error, with the traceback. For a defect, the resource has the
event `Internal` too, is unknown, and is reconciled again after one minute, later after five. If the store cannot be
reached, the resource is reconciled again after 30 s. An error that ends the daemon is written last, on stderr, and
makes the exit code 1.

The boot service logs each `Request` with its page, its status and the reason of a refusal, and never a token. It logs
`RequestFailed` for an internal error, and `ConnectionCut` for a client that took too long.
"""
