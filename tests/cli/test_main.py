"""The command as a whole: help, version, unknown commands, completion, and how quickly it answers."""

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator

import click
import pytest
from click.testing import Result

from cli.main import COMMANDS, main
from metering.compiled import MODE

Run = Callable[..., Result]


def every_command(
    group: click.Group = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from every_command(command, (*path, name))


@pytest.mark.parametrize("path", [path for path, _ in every_command()], ids=" ".join)
def test_help_explains_and_has_an_example(run: Run, path: tuple[str, ...]) -> None:
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert "Example:\n" in result.stdout
    assert f"creditmeter {path[0]}" in result.stdout.partition("Example:")[2] or path == ("config",)


def test_every_option_is_explained() -> None:
    for path, command in every_command():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{path}: {parameter.name}"


def test_help_names_every_command(run: Run) -> None:
    text = run("--help").stdout
    assert [name for name in COMMANDS if f"\n  {name} " not in text] == []


@pytest.mark.parametrize(("typed", "meant"), [("rat", "rate"), ("price", "prices"), ("confg", "config")])
def test_an_unknown_command_suggests_a_near_one(run: Run, typed: str, meant: str) -> None:
    result = run(typed)
    assert result.exit_code == 2
    assert f"Did you mean '{meant}'" in result.stderr


def test_an_unknown_command_far_from_all_suggests_nothing(run: Run) -> None:
    result = run("xyzzy")
    assert result.exit_code == 2
    assert "Did you mean" not in result.stderr


def test_version(run: Run) -> None:
    """It says how the hot modules run, since that is what a report of speed needs first."""
    version = run("--version").stdout
    assert version.startswith("creditmeter 0.")
    assert f" ({MODE})" in version


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(run: Run, shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_CREDITMETER_COMPLETE" in result.stdout


def test_help_is_quick() -> None:
    """The best of three, in seconds of a processor: what else the machine does is not what is measured."""
    took = []
    for _ in range(3):
        before = processor_seconds()
        subprocess.run([sys.executable, "-m", "cli.main", "--help"], check=True, stdout=subprocess.DEVNULL)
        took.append(processor_seconds() - before)
    assert min(took) < 0.3


def processor_seconds() -> float:
    """What the processes started by this one have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom cli.main import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "heavy = {'pydantic', 'rich', 'confluent_kafka', 'faust', 'chdb', 'fastavro', 'yaml', 'metering'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_number_of_an_option_may_be_nan() -> None:
    """A wait of NaN seconds would never be over: every comparison with it is false."""
    for path, command in every_command():
        for parameter in command.params:
            if isinstance(parameter.type, click.FloatRange):
                with pytest.raises(click.BadParameter, match="nan"):
                    parameter.type.convert("nan", parameter, None)
                assert parameter.type.convert("1.5", parameter, None) == 1.5, f"{path}: {parameter.name}"
