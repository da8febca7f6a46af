"""Stands for the states of qubes-mgmt-salt: qubes live in the file that NACRE_TEST_QUBES names.

Like the real ones (tried against qubesd): a second run changes nothing, `test=True` changes nothing and says what it would, and what
needs a qube that is not there fails.
"""

import json
import os


def _load():
    try:
        with open(os.environ["NACRE_TEST_QUBES"], encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def _save(qubes):
    with open(os.environ["NACRE_TEST_QUBES"], "w", encoding="utf-8") as file:
        json.dump(qubes, file, sort_keys=True, indent=1)


def _ret(name, changes, comment="", result=True):
    if changes and __opts__["test"]:
        result = None
    return {"name": name, "changes": changes, "result": result, "comment": comment}


def _set(name, part, wanted):
    qubes = _load()
    if name not in qubes:
        return _ret(name, {}, "no such qube", False)
    have = qubes[name].setdefault(part, {})
    changes = {key: {"old": have.get(key), "new": value} for key, value in wanted.items() if have.get(key) != value}
    if changes and not __opts__["test"]:
        have.update(wanted)
        _save(qubes)
    return _ret(name, changes)


def present(name, template=None, label=None, **more):
    if set(more) - {"class", "mem", "vcpus", "flags"} - {key for key in more if key.startswith("__")}:
        return _ret(name, {}, "qvm.present does not know %s" % sorted(more), False)
    qubes = _load()
    if name in qubes:
        return _ret(name, {}, "[SKIP] A VM with that name already exists.")
    if not __opts__["test"]:
        qubes[name] = {"class": more.get("class"), "prefs": {"template": template, "label": label}}
        _save(qubes)
    return _ret(name, {"created": name})


def prefs(name, **wanted):
    wanted = {key: value for key, value in wanted.items() if not key.startswith("__")}
    known = {"template", "label", "netvm", "memory", "maxmem", "autostart", "include_in_backups"}
    if set(wanted) - known:
        return _ret(name, {}, "no such property: %s" % sorted(set(wanted) - known), False)
    return _set(name, "prefs", wanted)


def tags(name, add=(), **_more):
    return _set(name, "tags", {tag: True for tag in add})


def firewall(name, **more):
    rules = more["set"]
    for rule in rules:
        if not all(word.partition("=")[0] in ("action", "dsthost", "proto", "dstports", "specialtarget") for word in rule.split()):
            return _ret(name, {}, "malformed rule: %s" % rule, False)
    return _set(name, "firewall", {"rules": list(rules)})
