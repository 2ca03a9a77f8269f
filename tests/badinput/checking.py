"""What every refusal looks like: one line, the right exit code, nothing written."""

from qsmengine.cli.main import main


def check(argv, out, capsys, code, *words):
    """The command fails with `code` and one line that holds `words`; `out` and its surroundings stay clean."""
    before = sorted(out.parent.rglob("*"))
    assert main(argv) == code
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, captured.err
    assert captured.err.rstrip().endswith(errors[0]), "nothing follows the error"
    assert "Traceback" not in captured.err
    for word in words:
        assert word in errors[0]
    assert sorted(out.parent.rglob("*")) == before
