"""Every code that a diagnostic of the desired state can have, with what it means. Codes are stable: scripts match them.

Codes that belong to one kind's own rules stand beside those rules (reconciler.kinds).
"""

from __future__ import annotations

DIAGNOSTICS: dict[str, str] = {
    # The files
    "file-too-large": "A manifest is larger than 1 MiB; its size is asked of git, and it is not read.",
    "too-many-files": "There are more manifests, or more bytes in them, than one desired state may have.",
    "path-too-deep": "A manifest lies more folders deep than is allowed.",
    "odd-file-name": "A path is not UTF-8, holds control characters, '..' or a backslash, or stands in the tree twice.",
    "symlink": "A symbolic link: what it points to is not part of the commit and is never read.",
    "submodule": "A submodule: its files are not part of the commit and are not read.",
    "not-a-file": "A manifest's name belongs to something that is no regular file.",
    "unreadable-file": "The operating system refuses to read the file.",
    # The text
    "not-utf-8": "The file is not UTF-8.",
    "control-character": "The text holds a character that YAML does not allow.",
    "yaml-syntax": "The YAML cannot be parsed.",
    "yaml-alias": "Aliases are refused: a document says everything where it stands.",
    "yaml-anchor": "Anchors are refused: a document says everything where it stands.",
    "yaml-tag": "Tags are refused, other than ! and !!str.",
    "yaml-merge": "Merge keys (<<) are refused.",
    "yaml-key": "A key is a mapping or a list; keys are plain text.",
    "yaml-directive": "%TAG, and %YAML other than 1.2, are refused.",
    "yaml-too-deep": "The document is nested more than 32 levels deep.",
    "yaml-too-large": "The document has more than 20,000 values.",
    "duplicate-key": "A key stands twice in one mapping.",
    "number-too-long": "A number has more digits than 64 bits can hold.",
    # One document
    "not-a-mapping": "The document is a list or a single value.",
    "unknown-api-version": "apiVersion is missing or not groundstate/v1.",
    "unknown-kind": "kind is missing or names no kind.",
    "unknown-field": "The kind has no such field.",
    "missing-field": "A field that the kind needs is not there.",
    "empty-value": "A key has no value.",
    "wrong-type": "The value is of another type than the field.",
    "not-allowed": "The value is not one of those that the field allows.",
    "malformed-value": "The text is not in the form that the field asks for.",
    "out-of-range": "The value is too small, too large, too short or too long.",
    "schema": "The document does not fit the kind's schema in some other way.",
    "credential-ref": "A credentialRef has not exactly one of env, file and exec.",
    "tls-trust": "tls has more than one of caFile, fingerprint and insecure.",
    "credentials-in-url": "A URL holds a user or a password; credentials are only ever referred to.",
    # Between documents
    "duplicate-name": "Two documents of one kind have the same name.",
    "dangling-reference": "A field names a resource that does not exist.",
    "duplicate-bmc": "Two machines name the same BMC and the same system, or one of them no system at all.",
    "duplicate-mac": "Two machines, or one twice, name the same MAC address.",
    "duplicate-address": "Two IPAddresses ask for the same address.",
    "overlapping-prefixes": "Two prefixes, of one network or of two, have addresses in common.",
    "outside-prefix": "A gateway, or what is reserved, does not lie in its prefix.",
    "outside-network": "An IPAddress asks for an address that is in no prefix of its network.",
    "reserved-address": "An IPAddress asks for an address that is never handed out.",
    "network-type": "A network has what its type does not have, or lacks what it needs.",
    "network-vrf": "A vrf has not exactly one of pool and network, or the network that it names has no number.",
    "network-parent": "A child does not agree with its parent: type, partition, namespace, project.",
    "outside-parent": "A child's prefix does not lie in its parent, or is too short for any part of it.",
    "second-network": "A partition has two networks of a type of which one is enough: Super, Underlay.",
    "outside-pool": "A number that is asked for is in no range of its pool.",
    "duplicate-number": "Two resources ask for the same number of a pool.",
    "other-project": "An address is asked for in another project's private network, or for another project's machine.",
    "other-partition": "An address is for a machine of another partition than its network's.",
    "machine-gone": "An address is for a machine that is not declared: a warning.",
    "no-such-family": "An IPAddress asks for a family that its network has no prefix of.",
}
