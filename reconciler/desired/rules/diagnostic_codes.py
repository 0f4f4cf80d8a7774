"""Every code that a diagnostic of the desired state can have, with what it means. Codes are stable: scripts match them.

Codes that belong to one kind's own rules stand beside those rules (reconciler.kinds).
"""

from __future__ import annotations

DIAGNOSTICS: dict[str, str] = {
    # The files
    "file-too-large": "A manifest is larger than 1 MiB, and is not read.",
    "too-many-files": "The repository has more manifests, or more bytes in them, than allowed.",
    "path-too-deep": "A manifest is in more nested folders than allowed.",
    "odd-file-name": (
        "A path is not UTF-8, contains control characters, '..' or a backslash, or is twice in the tree of the commit."
    ),
    "symlink": "A manifest is a symbolic link. groundstate does not follow symbolic links.",
    "submodule": "The folder contains a git submodule. groundstate does not read the files of submodules.",
    "not-a-file": "A manifest is not a regular file.",
    "unreadable-file": "The operating system refuses to read the file.",
    # The text
    "not-utf-8": "The file is not UTF-8.",
    "control-character": "The text contains a character that YAML does not allow.",
    "yaml-syntax": "The YAML cannot be parsed.",
    "yaml-alias": "YAML aliases (`*name`) are refused: write the value out in each place.",
    "yaml-anchor": "YAML anchors (`&name`) are refused: write the value out in each place.",
    "yaml-tag": "YAML tags are refused, except ! and !!str.",
    "yaml-merge": "Merge keys (<<) are refused.",
    "yaml-key": "A key is a mapping or a list; keys are plain text.",
    "yaml-directive": "The line %TAG is refused, and so is %YAML with another version than 1.2.",
    "yaml-too-deep": "The document is nested more than 32 levels deep.",
    "yaml-too-large": "The document has more than 20,000 values.",
    "duplicate-key": "A mapping has the same key twice.",
    "number-too-long": "A number has more digits than 64 bits can hold.",
    # One document
    "not-a-mapping": "The document is a list or a single value.",
    "unknown-api-version": "apiVersion is missing or not groundstate/v1.",
    "unknown-kind": "kind is missing or names no kind.",
    "unknown-field": "The kind has no such field.",
    "missing-field": "A required field is missing.",
    "empty-value": "A key has no value.",
    "wrong-type": "The value is of another type than the field.",
    "not-allowed": "The value is not one of those that the field allows.",
    "malformed-value": "The text does not have the form that the field requires.",
    "out-of-range": "The value is too small, too large, too short or too long.",
    "schema": "The document does not match the schema of its kind in another way.",
    "credential-ref": "A credentialRef must have exactly one of name, env, file and exec.",
    "bmc-address": "The address of a BMC has a scheme, a path, a port or a number that cannot be used.",
    "tls-trust": "tls has more than one of caFile, fingerprint and insecure.",
    "credentials-in-url": "A URL contains a user or a password; use credentialRef instead.",
    "sink-target": "An EventSink must have exactly one of webhook and nats.",
    "sink-url": "The URL of an EventSink has no TLS, or cannot be used.",
    "sink-reason": "An EventSink selects a reason that no event in the ledger has.",
    "sink-kind": "An EventSink selects a kind that does not exist.",
    "not-guardable": (
        "A Guard names a kind that guards cannot hold, or has a budget and names no kind that a budget counts."
    ),
    "guard-matches-nothing": (
        "Warning: a Guard matches no declared resource, or its budget counts no resource, or no resource has "
        "the label in budget.per."
    ),
    "derived-label": (
        "A machine declares a label that groundstate derives from the inventory: groundstate/size or aggregate/NAME."
    ),
    "switch-address": "The address of a switch cannot be used.",
    "switch-host-key": "A switch has no host key, and its driver needs one.",
    "switch-port": "A port of a switch is listed twice, or cannot have a machine.",
    "switch-uplink": "A port that groundstate never changes (an uplink or a management port) is in spec.ports.",
    "switch-role": "A switch of this role cannot be managed.",
    "switch-vlan": "The VLANs of a switch are no range, or contain the unprovisioned VLAN.",
    "switch-routing": "`manage: All` needs an ASN and a loopback address; only one of asn and asnNumber can be set.",
    # The repository
    "shallow-clone": (
        "The clone is shallow: the last commit of a document, or the commit with the guards in force, is "
        "missing in the clone."
    ),
    "not-descendant": "The revision is not a descendant of the revision in force: a forced push reset its branch.",
    # Between documents
    "duplicate-name": "Two documents of one kind have the same name.",
    "dangling-reference": "A field names a resource that does not exist.",
    "overlapping-sizes": "A machine could fit two sizes; the message describes such a machine.",
    "never-matches": "No machine can fit the size: the constraints of the size exclude each other.",
    "duplicate-image": "Two images have the same version of one operating system.",
    "no-such-image": "The image of a machine or a claim is not declared.",
    "too-many-projects": "A tenant has more projects than its quota allows.",
    "console-ssh": "A console over SSH has no host key, or no dialect that the driver knows.",
    "duplicate-aggregate": "Two Aggregates define a number of the same name.",
    "duplicate-bmc": "Two machines have the same BMC, and the same system or no systemId.",
    "duplicate-mac": "A MAC address is declared twice, for one machine or for two.",
    "duplicate-address": "Two IPAddresses request the same address.",
    "overlapping-prefixes": "Two prefixes, of one network or of two, have addresses in common.",
    "outside-prefix": "A gateway or a reserved part is not in its prefix.",
    "outside-network": "An IPAddress requests an address that is outside of all prefixes of its network.",
    "reserved-address": "An IPAddress requests an address that is reserved and never allocated.",
    "network-type": "A network has a field that its type cannot have, or lacks one that its type needs.",
    "network-vrf": "A vrf must have either pool or network; a network that is named there must have a VRF number.",
    "network-parent": "A child network and its parent differ in type, partition, namespace or project.",
    "outside-parent": "A child's prefix is not in its parent, or is larger than every prefix of the parent.",
    "second-network": "A partition has two networks of the type Super or Underlay.",
    "outside-pool": "A requested number is outside of all ranges of its pool.",
    "duplicate-hostname": "Two claims of a project would give a machine the same host name.",
    "renamed-from": (
        "spec.renamedFrom names a document that is still declared, or the document itself, or a name that "
        "another document also names."
    ),
    "duplicate-number": "Two resources request the same number of a pool.",
    "duplicate-switch": "Two switches have the same address, loopback address or LLDP system name.",
    "machine-cabling": (
        "A machine is cabled twice to one switch, or to another number of switches than the partition says. Or its "
        "switches are in another partition, or in several racks."
    ),
    "two-vrfs": "The networks of a claim are in several VRFs, or in none; the ports of its machines can be in one.",
    "other-project": "An address is requested in another project's private network, or for another project's machine.",
    "other-partition": "An address or a claim connects a machine with a network of another partition.",
    "second-allocation": (
        "Warning: a removed network or static address stays allocated, and the new document gets another prefix or "
        "address. The message says what to do if this is a rename."
    ),
    "renamed-from-unknown": "Warning: the store has no record of the name in spec.renamedFrom. Check the name.",
    "machine-gone": "Warning: an IPAddress is for a machine that is not declared.",
    "no-such-family": "An IPAddress requests IPv4 or IPv6, but the network has no prefix of that family.",
    "unknown-driver": "Warning: the driver is not installed here, or misspelled, so bmc.options are not checked.",
    "start-from": "A machine is set to start from virtual media, but its partition has no spec.boot.",
    # Beside what is remembered
    "other-limits": (
        "Limits of the plan, such as --max-disrupted, differ from those of the running daemon. The daemon may hold "
        "other changes than the plan shows."
    ),
    "machine-claimed": "A claimed machine is no longer declared, or no longer managed.",
    "image-in-use": "An image is no longer declared, and machines have it.",
    "image-expired": "Machines have an image that expired; they keep the image.",
    "image-expires": "Machines have an image that expires within 30 days.",
    "image-deprecated": "Machines have an image that is deprecated; they keep the image.",
    "size-image": "Machines have an image that spec.images of their size does not allow any more; they keep the image.",
    "size-differs": "A machine's document declares another size than the one that the inventory fits.",
    "quota-exceeded": "A project or a tenant has more than its quota allows. Existing resources stay.",
    "warnings-failed": "A bug in groundstate prevents some of the other warnings. The plan is not affected.",
}
