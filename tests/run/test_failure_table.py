"""Each row of the table in docs/reference/errors.md has a test."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

TESTS = {
    "`search --changed` outside of a git repository, or with a commit that git does not know": (
        "test_narrowed.test_no_repository"
    ),
    "an option or address that cannot be": "test_failures.test_wrong_usage",
    "no such project folder, or closed to us": "test_failures.test_a_closed_project",
    "a file that cannot be read": "test_failures.test_one_file_that_cannot_be_read",
    "a file that kills its worker, or takes longer than `--task-timeout`": (
        "test_workers.test_the_file_to_blame_fails_alone"
    ),
    "a repository that git refuses (of another user, damaged)": (
        "test_failures.test_a_repository_of_someone_else"
    ),
    "the copy of a submodule's folder, with its `.git` file": (
        "test_git.test_copy_of_a_submodule_is_an_error"
    ),
    "a bare repository, the folder around one, or a `.git`, in the place of a work tree": (
        "test_nesting.test_bare_repository"
    ),
    "a linked work tree whose repository is gone or was moved": (
        "test_nesting.test_work_tree_whose_repository_is_gone"
    ),
    "a home, a disk, or any folder of more than 20,000 files that nothing marks as a project": (
        "test_first_look.test_a_script_is_told"
    ),
    "a work tree, but no git on PATH, or one that cannot be run, crashes, or is older than 2.31": (
        "test_no_git.test_without_git_a_work_tree_is_refused"
    ),
    "a git that waits for a pipe or device in the place of a file (`.gitignore`, …), or does nothing for a minute": (
        "test_git_hang.test_a_pipe_in_the_place_of_a_file_is_named"
    ),
    "a repository that brings a `.codx/index`, or a symlink in it": (
        "test_gate.test_no_command_believes_a_clone"
    ),
    "a `.codx/index` of another user, or open to others": (
        "test_gate.test_the_state_of_another_user"
    ),
    "the project is moved away or removed while a run is at work": (
        "test_moved.test_the_folder_of_a_run_goes"
    ),
    "an unknown, damaged or unsafe model": "test_failures.test_a_folder_that_is_no_model",
    "the disk is full": "test_crash_disk.test_a_disk_that_is_too_small",
    "a run on a tree that is read-only, or that its user may not write": (
        "test_state_folder.test_a_tree_that_is_read_only"
    ),
    "an index that is read-only, or that its user may not write": (
        "test_read_only.test_what_its_user_may_not_write"
    ),
    "a damaged database": "test_damage.test_a_damaged_file",
    "a worker whose memory runs out": (
        "test_workers.test_memory_that_runs_out_is_the_tasks_own_failure"
    ),
    "an endpoint of a model that does not answer, or fails again and again": (
        "test_endpoint.test_an_endpoint_that_dies"
    ),
    "an endpoint that wants a key, redirects, or has another model behind the name": (
        "test_endpoint.test_another_model_behind_the_name"
    ),
    "a text that an endpoint refuses": (
        "test_endpoint.test_a_text_that_is_refused_fails_its_file_alone"
    ),
    "`--secrets off` or a key without https, with an endpoint beyond this machine": (
        "test_endpoint.test_what_an_endpoint_does_not_go_with"
    ),
    "another model than the default one, or a GPU, where torch is not installed": (
        "test_bert.test_what_needs_torch_says_so"
    ),
    "two runs that need the same model converted": (
        "test_embedding.test_a_conversion_that_another_process_makes_is_waited_for"
    ),
    "a project or a database of another user": (
        "test_users.test_two_users_on_one_project"
    ),
    "a clock that is wrong, or is set meanwhile": "test_clock.test_a_wrong_clock",
    "a damaged manifest, or a manifest of another index": (
        "test_failures.test_a_damaged_manifest"
    ),
    "a damaged, closed or full embedding cache": "test_failures.test_a_damaged_cache",
    "Milvus does not answer": "test_failures.test_nobody_answers",
    "Milvus refuses the token, or its user lacks a right": (
        "test_server.test_each_missing_right_is_named"
    ),
    "a Milvus that crashed and lost its last changes, or was restored from a backup": (
        "test_server.test_a_server_killed_between_two_writers"
    ),
    "`--mode sparse` on a Milvus without sparse vectors (before 2.4)": (
        "test_server.test_sparse_vectors_are_needed_for_their_mode"
    ),
    "another run on this index, on this or another host, or of another project on a database that both share": (
        "test_two_projects.test_each_waits_for_a_run_of_the_other"
    ),
    "a setting in a file of the project that cannot be, or needs `--trust`": (
        "test_settings.test_what_reaches_outside_needs_trust"
    ),
    "the command for mentions or the wiki fails or hangs; the wiki cannot be written": (
        "test_mentions.test_a_command_that_hangs_or_is_missing"
    ),
    "events cannot be delivered": "test_hooks.test_a_webhook_that_hangs",
    "`--max-seconds` are over": (
        "test_selected.test_a_budget_stops_a_run_and_the_next_goes_on"
    ),
    "stdout on a full disk, or closed where an answer was asked for": (
        "test_streams.test_a_report_to_a_full_disk_costs_no_work"
    ),
    "the reader of stdout is gone (`… \\| head`)": (
        "test_streams.test_an_answer_that_cannot_be_written"
    ),
    "the current folder is gone": "test_streams.test_a_current_folder_that_is_gone",
    "a variable `CODX_INDEX_…` that cannot be": "test_environment.test_a_bad_value_is_named",
    "a variable `CODX_INDEX_…` that no command reads": (
        "test_environment.test_an_unknown_variable_is_warned_about"
    ),
    "no home folder is known (no HOME, a user without an entry)": (
        "test_environment.test_no_home_and_no_user"
    ),
    "a request to `mcp` that is not JSON, or no request": (
        "test_mcp.test_lines_that_the_sdk_passes_over_in_silence"
    ),
    "SIGINT, SIGTERM, SIGHUP": "test_signals.test_a_signal_stops_a_run_in_order",
    "a collection of someone else under our name": (
        "test_failures.test_a_collection_of_someone_else"
    ),
    "a collection of another project, in a Milvus that both share": (
        "test_shared_database.test_a_name_that_another_project_has"
    ),
    "a shared collection of another model, precision, `secrets` or `languages`, or in which another folder has the project's name": (
        "test_shared_collection.test_another_fingerprint_is_refused"
    ),
    "`run-all` with one `--collection`, `--project` or `--wiki-path` for several projects": (
        "test_shared_database.test_run_all_takes_no_name_for_several_projects"
    ),
    "a line of `run-all --from` that names no repository, or one that git is not asked for (`ext::`, an option)": (
        "test_listed.test_a_line_that_is_refused_before_anything_runs"
    ),
    "a repository of `run-all --from` that cannot be fetched": (
        "test_listed.test_folders_and_clones_in_one_report"
    ),
    "a language in `[languages]` that is not known": (
        "test_what_is_text.test_languages_that_cannot_be"
    ),
    "a notebook that is no JSON any more (a merge with conflicts)": (
        "test_notebook.test_what_is_no_notebook_is_a_text_like_any_other"
    ),
    "`search`, `verify` without an index": "test_verify.test_without_an_index",
    "`search` in several projects, one without an index": (
        "test_strength.test_one_without_an_index_is_a_note"
    ),
    "`search` finds nothing": "test_search.test_an_empty_index",
    "`search` finds a file that has changed since the last run": (
        "test_fresh.test_a_hit_says_that_its_file_has_changed"
    ),
    "`search` finds nothing good": "test_strength.test_what_a_person_and_a_program_see",
}


def test_each_row_has_a_test() -> None:
    page = ROOT / "docs" / "reference" / "errors.md"
    rows = re.findall(r"^\| (.+?) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows[0] == "what"
    assert set(rows[1:]) == set(TESTS)
    for place in TESTS.values():
        module, _, name = place.partition(".")
        (file,) = (ROOT / "tests").glob(f"**/{module}.py")
        assert f"\ndef {name}(" in file.read_text(encoding="utf-8")
