#!/usr/bin/env python3
"""What settings do to the program: test_settings.py build/release/ochre

Standard library only.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import server  # noqa: E402

OCHRE = ""
DATABASE = "/api/v2/tenants/default_tenant/databases/default_database"


def refused(*arguments, **environment):
    """What the program says, and its exit status, when it does not start."""
    done = subprocess.run([OCHRE, "run", "--port", "0", *arguments], capture_output=True,
                          text=True, timeout=60, env={**os.environ, **environment}, check=False)
    return done.returncode, done.stderr


def post(ochre, path, body):
    request = urllib.request.Request(ochre.base + path, json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


class Settings(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="ochre-cli-")
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        self.data = self.scratch / "data"

    def run_with(self, *arguments, **environment):
        """The facts that the program logs when it is ready, started this way."""
        before = dict(os.environ)
        os.environ.update(environment)
        try:
            with server.Server(OCHRE, self.data, arguments) as ochre:
                return ochre.facts()
        finally:
            os.environ.clear()
            os.environ.update(before)

    def test_the_instruction_set_may_be_named(self):
        self.assertEqual(self.run_with(OCHRE_SIMD="scalar")["simd"], "scalar")
        best = self.run_with(OCHRE_SIMD="")["simd"]
        self.assertEqual(self.run_with(OCHRE_SIMD=best)["simd"], best)

    def test_an_unknown_instruction_set_is_refused_with_the_known_ones(self):
        status, text = refused("--path", str(self.data), OCHRE_SIMD="abacus")
        self.assertEqual(status, 2)
        self.assertRegex(text, 'OCHRE_SIMD is "abacus"; this program on this processor has scalar')
        self.assertFalse(self.data.exists())

    def test_a_memory_limit_comes_from_the_command_line_before_the_file(self):
        config = self.scratch / "config.yaml"
        config.write_text("memory_limit: 64M\n")
        self.assertEqual(self.run_with("--config", str(config))["memory_limit"], str(64 << 20))
        facts = self.run_with("--config", str(config), "--memory-limit", "1G")
        self.assertEqual(facts["memory_limit"], str(1 << 30))
        self.assertGreater(int(self.run_with()["memory_limit"]), 64 << 20)

    def test_a_senseless_memory_limit_is_refused(self):
        for size in ("1M", "many", "-1", "1.5G"):
            status, text = refused("--path", str(self.data), "--memory-limit", size)
            self.assertEqual(status, 2, size)
            self.assertIn(f'memory limit "{size}" is not a whole number of bytes, or of K, M or '
                          "G, from 16M to 1048576G", text)

    def test_a_request_over_the_memory_limit_is_refused_and_others_are_served(self):
        with server.Server(OCHRE, self.data, ("--memory-limit", "24M")) as ochre:
            status, made = post(ochre, DATABASE + "/collections", {"name": "things"})
            self.assertEqual(status, 200)
            add = f"{DATABASE}/collections/{made['id']}/add"
            large = {"ids": ["a", "b"], "embeddings": [[1], [2]],
                     "documents": ["x" * (14 << 20)] * 2}
            status, answer = post(ochre, add, large)
            self.assertEqual(status, 503, answer)
            small = {"ids": ["a"], "embeddings": [[1]], "documents": ["x" * 1000]}
            self.assertEqual(post(ochre, add, small)[0], 201)
        with server.Server(OCHRE, self.data) as ochre: # the limit is not the data's
            self.assertEqual(post(ochre, add, {**large, "ids": ["b", "c"]})[0], 201)


if __name__ == "__main__":
    OCHRE = os.path.abspath(sys.argv.pop(1))
    unittest.main()
