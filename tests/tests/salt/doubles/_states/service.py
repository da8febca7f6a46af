"""Stands for systemd, which does not run where tests do: services live in the file that NACRE_TEST_SERVICES names."""

import json
import os


def _turn(name, wanted):
    path = os.environ["NACRE_TEST_SERVICES"]
    try:
        with open(path, encoding="utf-8") as file:
            have = json.load(file)
    except FileNotFoundError:
        have = {}
    if have.get(name, {"enabled": False, "running": False}) == wanted:
        return {"name": name, "changes": {}, "result": True, "comment": ""}
    if not __opts__["test"]:
        have[name] = wanted
        with open(path, "w", encoding="utf-8") as file:
            json.dump(have, file)
    return {"name": name, "changes": {name: wanted}, "result": None if __opts__["test"] else True, "comment": ""}


def running(name, enable=False, **_more):
    return _turn(name, {"enabled": enable, "running": True})


def dead(name, enable=True, **_more):
    return _turn(name, {"enabled": enable, "running": False})


def mod_watch(name, **_more):
    """A restart because something that it watches changed."""
    return {"name": name, "changes": {name: "restarted"}, "result": True, "comment": ""}
