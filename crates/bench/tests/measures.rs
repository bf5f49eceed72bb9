//! The bench against a real server: `cargo test` builds that beside the bench.

use std::{fs, path::Path, process::Command};

fn bench(folder: &Path, words: &[&str]) -> Command {
    let bench = Path::new(env!("CARGO_BIN_EXE_podberth-bench"));
    let server = bench.with_file_name("podberth");
    assert!(server.exists(), "no server beside the bench: cargo build --bin podberth");
    let mut command = Command::new(bench);
    command.current_dir(folder).env("TMPDIR", folder).args(words);
    command
}

#[test]
fn bench_measures_a_server_and_leaves_only_its_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = |words: &[&str]| bench(folder.path(), words).output().expect("the bench starts");
    let listed = bench(&["--list"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("SchedulingBasic/5000\n"));
    let unknown = bench(&["--only=nothing"]);
    assert!(!unknown.status.success());
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no part's name begins with \"nothing\""));

    let measured = bench(&["--only=filter,schedule-apart,binds-16", "--nodes=100", "--pods=300", "--json=it.json"]);
    assert!(measured.status.success(), "{}", String::from_utf8_lossy(&measured.stderr));
    let table = String::from_utf8_lossy(&measured.stdout);
    for figure in ["filter-names/p50", "filter-full/p50", "schedule-apart/rate", "binds-16/rate"] {
        assert!(table.contains(&format!("| {figure} ")), "no {figure} in\n{table}");
    }
    let report = fs::read_to_string(folder.path().join("it.json")).expect("the file");
    assert!(report.contains("\"unit\": \"pods/s\"") && report.contains("\"failed\": []"), "{report}");
    let left: Vec<_> =
        fs::read_dir(folder.path()).expect("the folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["it.json"], "the database is gone");
}
