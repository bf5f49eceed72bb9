#!/usr/bin/env python3
"""Takes the messages of Podberth's loop over node groups, and runs a script for each: webhook.py PORT KEYFILE SCRIPT

The script is called as `SCRIPT setTargetSize GROUP SIZE` or `SCRIPT deleteNode GROUP SIZE NODE`. It has to end with 0, and may be called again
with a message that it has carried out already: setting a size twice, or deleting a node that is gone, has to do no harm.
"""
import hashlib, hmac, http.server, json, subprocess, sys, time

PORT, KEY, SCRIPT = int(sys.argv[1]), open(sys.argv[2], "rb").read().strip(), sys.argv[3]


class Webhook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(min(int(self.headers["Content-Length"]), 65536))
        sent = self.headers["X-Podberth-Timestamp"]
        expected = hmac.new(KEY, sent.encode() + b"." + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest("sha256=" + expected, self.headers["X-Podberth-Signature"]) or abs(time.time() - int(sent)) > 300:
            self.send_error(401)
            return
        told = json.loads(body)
        words = [told["action"], told["group"], str(told["targetSize"])] + ([told["node"]] if "node" in told else [])
        done = subprocess.run([SCRIPT, *words], timeout=8).returncode
        self.send_response(204 if done == 0 else 500)
        self.end_headers()


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Webhook).serve_forever()
