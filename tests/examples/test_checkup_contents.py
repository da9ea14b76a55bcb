"""Secrets, dependencies, licences and hot spots on small repositories."""

import json
import os
import sys
import unittest

from checkup_helper import RepositoryTest, artifact

import dependencies
import hot_spots
import licences
import secret_patterns

# Samples are put together here so that no scanner takes this file for a leak.
TOKEN = "gh" + "p_" + "a8Kd03jFq9Lm2Xc7Vb5Nz1Qw4Er6Ty0UiOpAs"
AWS = "AK" + "IA" + "Q3EGRT7XJ2MNWZL5"
KEY = (
    "-----BEGIN RSA PRIVATE "
    + "KEY-----\nMIIEpAIBAAKCAQEA7bq1Zk0yVh3rJmX9dT2w\n-----END RSA PRIVATE "
    + "KEY-----\n"
)


class Secrets(RepositoryTest):
    def scan(self, **inputs):
        _, folder, said = self.run_task("secret_scan.py", inputs=inputs)
        result = artifact((None, folder), "secrets.json")
        for text in (said, json.dumps(result)):
            for value in (TOKEN, AWS, KEY.splitlines()[1]):
                self.assertNotIn(value, text)
        return result

    def test_tree_and_history(self):
        self.commit({"config.py": "token = '%s'\n" % TOKEN, "tests/key.pem": KEY})
        self.commit({"deploy.sh": "export A=%s\n" % AWS})
        self.commit({"deploy.sh": "export A=$B\n"})
        result = self.scan()
        self.assertEqual(
            [(f["file"], f["line"], f["id"], f["confidence"]) for f in result["tree"]],
            [("config.py", 1, "github-token", "high"), ("tests/key.pem", 1, "private-key", "low")],
        )
        self.assertEqual([(f["file"], f["id"]) for f in result["history"]], [("deploy.sh", "aws-access-key")])
        self.assertEqual(len(result["history"][0]["commit"]), 12)
        self.assertEqual(self.scan(history_commits=1)["history"], [])

    def test_a_key_that_was_removed(self):
        self.commit({"id_rsa": KEY})
        self.git("rm", "-q", "id_rsa")
        self.commit({"a": "b"})
        self.assertEqual([(f["file"], f["id"]) for f in self.scan()["history"]], [("id_rsa", "private-key")])

    def test_no_false_alarms(self):
        self.commit(
            {
                "a.py": (
                    "MARK = '-----BEGIN PRIVATE "
                    + "KEY-----'\nkey = 'AKIAIOSFODNN7"
                    + "EXAMPLE'\npassword = 'changeme12345'\npassword = getpass('new password for the"
                    " user')\nurl = 'https://user:password@example.org'\n"
                ),
                "b.bin": b"\0" + TOKEN.encode(),
            }
        )
        result = self.scan()
        self.assertEqual(result["tree"] + result["history"], [])

    def test_long_lines(self):
        self.commit({"a.js": "x" * 500_000 + " '" + TOKEN + "' " + "y" * 500_000})
        self.assertLessEqual(len(self.scan()["tree"]), 1)

    def test_masks(self):
        self.assertEqual(
            secret_patterns.masked("github-token", TOKEN.encode()),
            "%s… (%d characters)" % (TOKEN[:4], len(TOKEN)),
        )
        self.assertNotIn("hunter", secret_patterns.masked("url-password", b"hunter2hunter2"))


class Dependencies(RepositoryTest):
    def parse(self):
        _, folder, _ = self.run_task("dependencies.py")
        return artifact((None, folder), "dependencies.json")

    def test_manifests(self):
        self.commit(
            {
                "package.json": json.dumps(
                    {
                        "name": "a",
                        "dependencies": {"x": "^1.0.0", "y": "*", "g": "github:o/r"},
                        "devDependencies": {"z": "2"},
                    }
                ),
                "package-lock.json": json.dumps(
                    {
                        "packages": {
                            "": {},
                            "node_modules/x": {"version": "1.2.3"},
                            "node_modules/z": {"version": "2.0.0"},
                        }
                    }
                ),
                "go.mod": "module m\n\nrequire (\n\ta.org/b v1.2.3\n\tc.org/d v0.1.0 // indirect\n)\n",
                "requirements.txt": (
                    "# c\nflask==2.0\nrequests\n-r other.txt\nnumpy>=1 ; python_version > '3'\n"
                ),
                "CMakeLists.txt": (
                    "find_package(Boost 1.81 REQUIRED)\nfind_package(CCache) #"
                    " find_package(No)\npkg_check_modules(G REQUIRED glib-2.0)\n"
                ),
                "configure.ac": "AC_CHECK_LIB([m], [sin])\nPKG_CHECK_MODULES([X], [xml2 >= 2.9])\n",
                "debian/control": (
                    "Source: a\nBuild-Depends: debhelper (>= 10),\n libfoo-dev,\n# no\n bar"
                    " [linux-any]\n\nPackage: a\nDepends: ${misc:Depends}, baz\n"
                ),
                "pom.xml": (
                    "<dependency><groupId>g</groupId><artifactId>a</artifactId>"
                    "<version>1</version></dependency>"
                ),
            }
        )
        result = self.parse()
        have = {
            (d["ecosystem"], d["name"], d["wanted"], d["kind"], d["locked"]) for d in result["dependencies"]
        }
        for expected in (
            ("npm", "x", "^1.0.0", "run", "1.2.3"),
            ("npm", "z", "2", "development", "2.0.0"),
            ("go", "a.org/b", "v1.2.3", "run", "v1.2.3"),
            ("go", "c.org/d", "v0.1.0", "indirect", "v0.1.0"),
            ("python", "flask", "==2.0", "run", "2.0"),
            ("python", "numpy", ">=1", "run", ""),
            ("cmake", "Boost", "1.81", "run", ""),
            ("cmake", "CCache", "", "optional", ""),
            ("pkg-config", "glib-2.0", "", "run", ""),
            ("autoconf", "m", "", "optional", ""),
            ("pkg-config", "xml2", "2.9", "run", ""),
            ("debian", "debhelper", ">= 10", "build", ""),
            ("debian", "bar", "", "build", ""),
            ("debian", "baz", "", "run", ""),
            ("maven", "g:a", "1", "run", ""),
        ):
            self.assertIn(expected, have)
        self.assertNotIn("No", {d["name"] for d in result["dependencies"]})
        kinds = [p["id"] for p in result["problems"]]
        for kind in ("unbounded", "not-a-release", "lock-drift", "no-lock", "no-licence"):
            self.assertIn(kind, kinds)

    @unittest.skipUnless(sys.version_info >= (3, 11), "needs tomllib")
    def test_toml(self):
        self.commit(
            {
                "Cargo.toml": (
                    "[package]\nname='a'\nlicense='MIT'\n[dependencies]\nserde = {version='1',"
                    " features=[]}\nown={path='x'}\n"
                ),
                "pyproject.toml": "[project]\nname='a'\ndependencies=['httpx>=0.2']\n",
            }
        )
        have = {(d["ecosystem"], d["name"], d["wanted"]) for d in self.parse()["dependencies"]}
        self.assertEqual(have, {("cargo", "serde", "1"), ("python", "httpx", ">=0.2")})

    def test_broken_manifests_are_findings(self):
        for text in (
            "{",
            "[]",
            '"x"',
            '{"dependencies": []}',
            '{"dependencies": {"a": null}, "license": 5}',
            "\xff",
            "[" * 50_000,
        ):
            self.commit({"package.json": text, "pyproject.toml": text, "Cargo.toml": text})
            self.parse()

    def test_licences(self):
        mit = (
            "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy\nof"
            ' this software ... THE SOFTWARE IS PROVIDED "AS IS"'
        )
        self.assertEqual(licences.recognise(mit), ["MIT"])
        bsd = (
            "Redistribution and use in source and binary forms, with or without modification. Redistributions"
            " in binary form must reproduce"
        )
        self.assertEqual(licences.recognise(bsd), ["BSD-2-Clause"])
        self.assertEqual(
            licences.recognise(
                bsd + " 3. Neither the name of the holder may\n * be used to endorse or promote products"
            ),
            ["BSD-3-Clause"],
        )
        isc = (
            "Permission to use, copy, modify, and/or distribute this software for any\npurpose with or"
            " without fee is hereby granted"
        )
        self.assertEqual(licences.recognise(isc + ", provided that"), ["ISC"])
        self.assertEqual(licences.recognise(isc + ".\nTHE SOFTWARE IS PROVIDED"), ["0BSD"])
        self.assertEqual(
            licences.recognise(
                "GNU GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007 ... use the GNU Lesser General Public"
                " License"
            ),
            ["GPL-3.0"],
        )
        self.assertEqual(licences.recognise("Apache License\n Version 2.0, January 2004"), ["Apache-2.0"])
        self.assertEqual(licences.recognise("All rights reserved"), [])
        common_licences = "/usr/share/common-licenses"
        for name, expected in (
            ("GPL-2", "GPL-2.0"),
            ("GPL-3", "GPL-3.0"),
            ("LGPL-2.1", "LGPL-2.1"),
            ("LGPL-3", "LGPL-3.0"),
            ("Apache-2.0", "Apache-2.0"),
            ("MPL-2.0", "MPL-2.0"),
            ("LGPL-2", "LGPL-2.0"),
            ("GFDL-1.3", "GFDL"),
        ):
            path = os.path.join(common_licences, name)
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    self.assertEqual(licences.recognise(file.read()), [expected], name)

    def test_mismatch(self):
        self.commit(
            {
                "LICENSE": "Permission is hereby granted, free of charge, to any person obtaining a copy",
                "package.json": '{"name": "a", "license": "Apache-2.0"}',
                "a.c": "// SPDX-License-Identifier: GPL-2.0-only\nint a;\n",
            }
        )
        result = self.parse()
        self.assertEqual({"licence-mismatch", "spdx-differs"}, set(result["problem_counts"]))
        self.assertEqual(result["spdx"], {"GPL-2.0-only": 1})
        self.assertEqual(dependencies.licences.family("(MIT OR Apache-2.0+)"), {"MIT", "Apache-2.0"})


class HotSpots(RepositoryTest):
    def test_scores_people_and_pairs(self):
        for i in range(6):
            self.commit({"big.py": "x = %d\n" % i * 50, "wire.c": "int a%d;\n" % i}, author="Ann")
        self.commit({"other.py": "y\n"}, author="Bob")
        self.git("mv", "other.py", "moved there.py")
        self.commit({b"\xff odd\tname.py": "z\n"}, author="Bob")
        result = artifact(self.run_task("hot_spots.py"), "hot-spots.json")
        self.assertEqual((result["commits"], result["author_count"], result["bus_factor"]), (8, 2, 1))
        top = result["hot_spots"][0]
        self.assertEqual(
            (top["file"], top["commits"], top["lines"], top["main_author"]), ("big.py", 6, 50, "Ann")
        )
        self.assertEqual(result["together"][0]["files"], ["big.py", "wire.c"])
        self.assertIn("moved there.py", [s["file"] for s in result["hot_spots"]])
        self.assertIn("\\xff odd\\tname.py", [s["file"] for s in result["hot_spots"]])

    def test_the_bound_holds(self):
        for i in range(5):
            self.commit({"a.py": "x = %d\n" % i})
        self.assertEqual(
            artifact(self.run_task("hot_spots.py", inputs={"history_commits": 2}), "hot-spots.json")[
                "commits"
            ],
            2,
        )
        self.assertEqual(
            artifact(self.run_task("hot_spots.py", inputs={"history_commits": 0}), "hot-spots.json")[
                "commits"
            ],
            0,
        )

    def test_bus_factor(self):
        self.assertEqual(hot_spots.bus_factor({"a": 5, "b": 3, "c": 3}), 2)
        self.assertEqual(hot_spots.bus_factor({}), 0)


if __name__ == "__main__":
    unittest.main()
