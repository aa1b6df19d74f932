from __future__ import annotations

import json
import platform
import re
from pathlib import Path

from loadcheck.measure.histogram import Histogram
from loadcheck.result.document import environment, histogram, own_words, truncate_examples, utc_now
from loadcheck.secrets import Redactor

SECRET = "s3cr3t-of-a-test"


def test_the_environment_names_no_person_and_no_host() -> None:
    text = json.dumps(environment())
    assert platform.node() not in text
    assert str(Path.home()) not in text


def test_the_present_is_utc_to_the_millisecond() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", utc_now())


def test_a_histogram_without_samples_has_no_percentiles() -> None:
    empty = histogram(Histogram())
    assert (empty["count"], empty["p50_ms"], empty["max_ms"]) == (0, None, None)
    assert Histogram.decode(empty["hdr"]).count == 0


def test_a_secret_that_is_a_word_of_ours_leaves_the_document_readable() -> None:
    document = {"verdict": "pass", "run": {"phase": "complete", "error": "they pass by"}}
    kept = Redactor({"verdict", "pass", "complete"}).document(document, own_words())
    assert kept == {"verdict": "pass", "run": {"phase": "complete", "error": "they *** by"}}


def test_an_answer_is_cut_short_after_its_secrets_are_hidden() -> None:
    text = "x" * 295 + SECRET
    sections = {"steps": {"up": {"examples": {"500": text}}}}
    cut = truncate_examples(Redactor({SECRET}).document(sections))["steps"]["up"]["examples"]["500"]
    assert cut == "x" * 295 + "***"
    assert truncate_examples({"verdict": "pass"}) == {"verdict": "pass"}
