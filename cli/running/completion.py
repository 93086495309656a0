"""`creditmeter completion`: the script that makes a shell complete commands and options."""

from __future__ import annotations

import click

from cli.terminal.command import Command

_PROGRAM = "creditmeter"
_VARIABLE = "_CREDITMETER_COMPLETE"


@click.command(
    cls=Command,
    epilog="""
    echo 'eval "$(creditmeter completion bash)"' >> ~/.bashrc
    echo 'eval "$(creditmeter completion zsh)"'  >> ~/.zshrc
    creditmeter completion fish > ~/.config/fish/completions/creditmeter.fish
    """,
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

    class AnyBash(BashComplete):
        """Click asks the bash of this machine for its version, which the script's reader need not run here."""

        @staticmethod
        def _check_version() -> None:
            pass

    kinds: dict[str, type[ShellComplete]] = {"bash": AnyBash, "zsh": ZshComplete, "fish": FishComplete}
    click.echo(kinds[shell](ctx.find_root().command, {}, _PROGRAM, _VARIABLE).source())
