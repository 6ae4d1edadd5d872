"""`unmogrowp backup` and `restore`: a data directory into one file, and out of it."""

import argparse
from pathlib import Path

from unmogrowp.cli.asking import FILE, copy, server_of
from unmogrowp.cli.files import reading, replacing
from unmogrowp.cli.options import Commands, add_command, add_json, add_place, settings_of
from unmogrowp.cli.show import note_progress, print_json, print_line


def add(commands: Commands) -> None:
    """Add both commands."""
    parser = add_command(
        commands,
        "backup",
        "write everything into one archive, while the server runs or not",
        "What was acknowledged before is in it. The file appears when it is whole.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the archive to write, a tar file")
    add_place(parser)
    parser.set_defaults(run=run_backup)
    parser = add_command(
        commands,
        "restore",
        "make a data directory from an archive",
        "The directory must be new or empty; it appears when it is whole.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="what `unmogrowp backup` wrote")
    add_json(parser)
    add_place(parser)
    parser.set_defaults(run=run_restore)


def run_backup(options: argparse.Namespace) -> int:
    """Write an archive."""
    path: Path = options.file
    home = settings_of(options).data_dir
    note_progress(f"writing {path}")
    with replacing(path) as part, part.open("xb") as file:
        part.chmod(0o600)
        if (home / FILE).exists():
            with server_of(options).get("/v1/backup", {}, "application/x-tar") as answer:
                copy(answer, file)
        else:
            from unmogrowp.server.archive import archive_of

            file.writelines(archive_of(home))
    print_line(f"{path}: {path.stat().st_size:,} bytes")
    return 0


def run_restore(options: argparse.Namespace) -> int:
    """Make a data directory."""
    import msgspec

    from unmogrowp.pipeline.backup import restore

    path: Path = options.file
    home = settings_of(options).data_dir
    with reading(path), path.open("rb") as file:
        manifest = restore(file, home)
    if options.json:
        print_json({"data_dir": str(home), **msgspec.to_builtins(manifest)})
        return 0
    print_line(f"`{home}` is as of {manifest.created_at}; start it with `unmogrowp serve`")
    if not manifest.has_warehouse:
        print_line("its warehouse is a server of its own, which is restored by its own means")
    return 0
