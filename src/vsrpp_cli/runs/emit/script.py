"""A plan as a shell script, for any scheduler that runs a command with a number, or for none."""

from vsrpp_cli.runs.emit.job import Job, command_line


def script(job: Job) -> str:
    """Return a script that does one task, the join, or everything."""
    return f"""\
#!/bin/sh
# vsrpp: {job.what}, numbered 0 to {job.tasks - 1}.
#   sh FILE K       does task K, on any machine that sees the same files; may be repeated
#   sh FILE join    joins, when all tasks are done
#   sh FILE         does all of it here, one task after another
# For example four at a time: seq 0 {job.tasks - 1} | xargs -P 4 -n 1 sh FILE && sh FILE join
set -eu

task() {{
    {command_line(job.worker())} "$1"
}}

join() {{
    {command_line(job.join())}
}}

case "${{1:-all}}" in
all)
    k=0
    while [ "$k" -lt {job.tasks} ]; do
        task "$k"
        k=$((k + 1))
    done
    join
    ;;
join) join ;;
*) task "$1" ;;
esac
"""
