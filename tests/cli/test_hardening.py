#!/usr/bin/env python3
"""What the built program and library are protected with: test_hardening.py OCHRE [LIBOCHRE]

Reads them with readelf and objdump of binutils.  Standard library only.
"""
import re
import subprocess
import sys
import unittest

FILES = []


def read(tool, *arguments):
    return subprocess.run([tool, *arguments], capture_output=True, text=True, check=True,
                          env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}).stdout


class Hardening(unittest.TestCase):
    def test_the_program_may_be_loaded_anywhere(self):
        self.assertRegex(read("readelf", "-hW", FILES[0]), r"Type:\s+DYN")
        self.assertRegex(read("readelf", "-dW", FILES[0]), r"FLAGS_1.*\bPIE\b")

    def test_addresses_are_bound_at_start_and_then_read_only(self):
        for path in FILES:
            self.assertRegex(read("readelf", "-lW", path), r"(?m)^\s+GNU_RELRO\s")
            self.assertRegex(read("readelf", "-dW", path), r"BIND_NOW|FLAGS_1.*\bNOW\b")

    def test_nothing_is_both_writable_and_code(self):
        for path in FILES:
            segments = re.findall(r"(?m)^\s+(LOAD|GNU_STACK)\s+(?:0x\w+\s+){5}([RWE ]{3})",
                                  read("readelf", "-lW", path))
            self.assertIn("GNU_STACK", [kind for kind, _ in segments])
            self.assertGreaterEqual(len(segments), 4)
            for kind, flags in segments:
                self.assertFalse("W" in flags and "E" in flags, (kind, flags))

    def test_no_code_has_to_be_rewritten_when_it_is_loaded(self):
        for path in FILES:
            self.assertNotIn("TEXTREL", read("readelf", "-dW", path))

    def test_stacks_and_copies_are_checked(self):
        for path in FILES:
            undefined = read("readelf", "--dyn-syms", "-W", path)
            self.assertIn("__stack_chk_fail", undefined)
            self.assertRegex(undefined, r"UND __(mem\w+|v?snprintf|v?fprintf)_chk")

    def test_no_directory_is_searched_that_others_might_write(self):
        for path in FILES:
            self.assertNotRegex(read("readelf", "-dW", path), r"\((RPATH|RUNPATH)\)")

    def test_calls_through_pointers_land_where_functions_begin(self):
        machine = read("readelf", "-hW", FILES[0])
        if "X86-64" in machine:
            wanted = r"endbr64"
        elif "AArch64" in machine:
            wanted = r"paciasp|bti\s+c|hint\s+#0x(19|22)"
        else:
            self.skipTest("no such instruction is known for this machine")
        code = read("objdump", "-d", "--no-show-raw-insn", "--disassemble=main", FILES[0])
        self.assertIn("<main>:", code)
        self.assertRegex(code, wanted)


if __name__ == "__main__":
    while len(sys.argv) > 1:
        FILES.append(sys.argv.pop(1))
    unittest.main()
