"""watch: keeps the mean of every station's readings and reports what departs from it.

    radics-mesh build examples/watch.py -o watch.img
    radics-mesh run watch.img --name watch --source weather -- dtn://base/alarms

Each message of a source is a JSON object like {"station": "roof", "celsius": 21.5}. A reading that
is more than 5 degrees off its station's mean goes to the EID that was given. Whoever sends a
request to this VM's service "means" is told all means. They are kept as keys and values, which move
along.
"""

import json
import sys
import threading

import radics

TOO_FAR = 5.0


def take(reading, alarms):
    station, celsius = reading["station"], float(reading["celsius"])
    n, mean = json.loads(radics.kv.get(station, b"[0, 0.0]"))
    if n >= 3 and abs(celsius - mean) > TOO_FAR and alarms:
        radics.send(alarms, json.dumps({**reading, "mean": round(mean, 2), "host": radics.host()}))
    n += 1
    radics.kv[station] = json.dumps([n, mean + (celsius - mean) / n])


def answer():
    for request in radics.serve("means"):
        means = {station: json.loads(radics.kv[station])[1] for station in radics.kv}
        request.reply(json.dumps(means))


def read(source, alarms):
    for message in radics.subscribe(source):
        try:
            take(json.loads(message.payload), alarms)
        except (ValueError, KeyError, TypeError) as error:
            radics.log(f"{source}, message {message.number}: {error!r}", radics.WARN)


def main():
    alarms = sys.argv[1] if len(sys.argv) > 1 else None
    threading.Thread(target=answer, daemon=True).start()
    sources = radics.sources() or ["weather"]
    readers = [threading.Thread(target=read, args=(source, alarms)) for source in sources]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    for station in sorted(radics.kv):
        n, mean = json.loads(radics.kv[station])
        print(f"{station}: {n} readings, mean {mean:.2f}")


if __name__ == "__main__":
    main()
