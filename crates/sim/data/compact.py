"""Reduces a topics.json (templates and event-body schemas) to what the simulator uses.

usage: python3 compact.py <topics.json> > topics.min.json

Types: "s" string, "t" date-time, "i" integer, "n" number, "b" boolean, "*" any JSON value, "#N" schema number N,
["a", T] array of T, ["m", T] map to T, ["e", values...] enumeration, ["o", {name: T}] inline object.
"""
import json, sys

src = json.load(open(sys.argv[1]))
number, order = {}, []

def ref(name):
    if name not in number:
        number[name] = len(order)
        order.append(name)
    return "#%d" % number[name]

def kind(x):
    if "$ref" in x:
        return ref(x["$ref"].rsplit("/", 1)[1])
    if "enum" in x:
        return ["e"] + x["enum"]
    t = x.get("type")
    if t == "string":
        return "t" if x.get("format") == "date-time" else "s"
    if t in ("integer", "number", "boolean"):
        return {"integer": "i", "number": "n", "boolean": "b"}[t]
    if t == "array":
        return ["a", kind(x.get("items", {}))]
    if "properties" in x:
        return ["o", {k: kind(v) for k, v in x["properties"].items()}]
    if isinstance(x.get("additionalProperties"), dict):
        return ["m", kind(x["additionalProperties"])]
    return "*"

topics = [[t["topic"], int(ref(t["schema"])[1:])] for t in src["topics"]]
schemas, i = [], 0
while i < len(order):
    schemas.append({k: kind(v) for k, v in src["schemas"][order[i]].get("properties", {}).items()})
    i += 1
source = {k: src["source"][k] for k in ("repo", "commit", "release", "date", "license")}
json.dump({"source": source, "topics": topics, "schemas": schemas}, sys.stdout, separators=(",", ":"))
print()
