"""Prompt files that are wrong as a whole (exit 2, nothing made) or in places (exit 1, the others made)."""

import pytest


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("empty.txt", "", "empty.txt: holds no prompt"),
        ("comments.txt", "# nothing\n\n", "holds no prompt"),
        ("ids.jsonl", '{"prompt":"a","id":7}\n{"prompt":"b","id":7}\n', "lines 1 and 2 have the same id 7"),
        ("broken.jsonl", '{"prompt"\n', "broken.jsonl:1: not JSON"),
        ("head.csv", "a,b\n1,2\n", "names no column 'prompt'"),
        ("p.docx", "a", "allowed: .txt, .jsonl, .csv, .tsv"),
    ],
)
def test_wrong_as_a_whole(darkroom, name, content, message):
    darkroom.write(name, content)
    result = darkroom.make("-f", name)
    assert result.code == 2
    assert message in result.err
    assert darkroom.files() == []


def test_missing(darkroom):
    result = darkroom.make("-f", "nothing.txt")
    assert result.code == 2
    assert "nothing.txt" in result.err


def test_a_folder(darkroom):
    (darkroom.folder / "folder.txt").mkdir()
    result = darkroom.make("-f", "folder.txt")
    assert result.code == 2
    assert "folder" in result.err


def test_unreadable(darkroom, as_nobody):
    darkroom.write("p.txt", "a").chmod(0)
    result = darkroom.make("-f", "p.txt", **as_nobody)
    assert result.code == 2
    assert "permission denied" in result.err.lower()


def test_bad_lines_are_named_and_the_others_made(darkroom):
    darkroom.write("p.jsonl", '{"prompt": "a"}\n{"prompt": "b"\n{"prompt": "c", "steps": "20x"}\n{"prompt": "d"}\n')
    result = darkroom.make("-f", "p.jsonl", "-s", "1", "--json")
    assert result.code == 1
    assert "p.jsonl:2: not JSON" in result.err
    assert "p.jsonl:3: steps: '20x' is not a whole number" in result.err
    assert [(o["line"], o["exit"]) for o in result.objects if "error" in o] == [(2, 2), (3, 2)]
    assert darkroom.files() == ["00000-a-1.png", "00003-d-1.png"]


def test_invalid_utf8_in_a_text_file(darkroom):
    darkroom.write("p.txt", b"a \xff cat\n")
    result = darkroom.make("-f", "p.txt", "-s", "1")
    assert result.code == 0
    assert "p.txt:1" in result.err
    assert darkroom.files() == ["00000-a-cat-1.png"]


def test_a_picture_that_the_model_cannot_make(darkroom):
    darkroom.write("p.csv", "prompt,width\nodd,17\neven,16\n")
    result = darkroom.make("-f", "p.csv", "-s", "1")
    assert result.code == 1
    assert "p.csv:2: width 17 is no multiple of 2" in result.err
    assert darkroom.files() == ["00001-even-1.png"]
