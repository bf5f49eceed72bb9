//! The store's contract, on every engine: one suite, each case run on a SQLite file, SQLite in memory, PostgreSQL,
//! the fake that simulations run on, and Citus where `PODBERTH_TEST_CITUS_URL` names a database with it.
//! Run it with `scripts/test --test store`.

#[path = "../support/database.rs"]
mod database;

mod archive;
mod audit;
mod build;
mod clusters;
mod concurrency;
mod damage;
mod differential;
mod epochs;
mod faults;
mod files;
mod history;
mod judging;
mod keeping;
mod ledger;
mod opening;
mod plans;
mod pooler;
mod reading;
mod seeing;
mod upgrade;
mod writing;

/// Makes one test of each case and engine.
macro_rules! contract {
    ($($room:ident: $($case:ident)*;)*) => {
        contract!(@engine sqlite_file SqliteFile $($room: $($case)*;)*);
        contract!(@engine sqlite_memory SqliteMemory $($room: $($case)*;)*);
        contract!(@engine postgres Postgres $($room: $($case)*;)*);
        contract!(@engine citus Citus $($room: $($case)*;)*);
        contract!(@engine fake Memory $($room: $($case)*;)*);
    };
    (@engine $name:ident $engine:ident $($room:ident: $($case:ident)*;)*) => {
        mod $name {
            use crate::database::{Engine, with_database};
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    with_database(Engine::$engine, crate::$room::$case).await;
                }
            )*)*
        }
    };
}

contract! {
    writing:
        put_creates_and_replaces
        create_rejects_existing_object
        change_rejects_absent_object
        write_rejects_stale_revision
        write_rejects_other_uid
        deleted_object_can_be_created_again
        put_with_other_uid_creates_anew
        put_without_change_takes_no_revision
        bind_keeps_the_body
        refused_writes_leave_the_others
        batch_is_whole_or_nothing
        writes_to_one_key_keep_their_order
        empty_batch_takes_no_revision
        any_body_is_kept
        unstorable_keys_are_refused
        large_batch_is_written_whole;
    judging:
        calls_do_not_harm_each_other
        binds_once
        only_what_is_put_is_read_with_its_body
        the_judge_is_told_what_it_missed
        the_feed_leaves_out_bodies_its_reader_has
        bodies_of_kinds_that_nobody_reads_are_left_out;
    seeing:
        judge_at_the_head_misses_no_change;
    reading:
        unknown_cluster_is_empty
        clusters_are_apart
        find_leaves_out_deleted_objects
        lists_in_order_page_by_page
        lists_one_namespace
        follows_changes_page_by_page
        schema_reports_missing_migrations
        closed_store_refuses_calls;
    history:
        state_at_a_revision_stays
        compaction_removes_history_past_its_retention
        store_without_history_serves_only_the_head
        time_maps_to_its_revision
        undone_history_gives_the_earlier_state
        history_that_is_gone_is_not_undone
        lists_of_the_past_come_page_by_page
        adopted_objects_are_as_they_were_and_take_writes
        found_objects_of_a_revision_are_as_they_were
        held_history_stays
        large_past_state_comes_in_pages;
    keeping:
        compaction_keeps_young_and_recent_history
        compaction_goes_in_pieces
        first_reader_restarts_only_if_it_may_miss_a_delete
        compaction_never_changes_the_state_readers_see
        compaction_does_not_disturb_writers
        lease_excludes_other_holders;
    archive:
        exported_cluster_imports_unchanged
        an_import_is_whole_or_nothing
        import_replaces_only_on_request
        an_export_and_an_import_leave_the_ledger_alone;
    concurrency:
        tailing_reader_misses_no_change
        one_of_concurrent_writers_wins
        hint_wakes_its_listeners
        concurrent_writers_create_a_cluster_once;
    ledger:
        entries_come_page_by_page_in_either_order
        entries_are_found_by_their_words_and_time
        an_entry_is_appended_once
        an_append_is_whole_or_nothing
        pages_are_bounded_in_bytes
        pruning_keeps_the_newest
        pruning_goes_in_pieces
        entries_go_with_their_cluster;
    audit:
        events_are_recorded_found_and_pruned;
    clusters:
        heads_list_the_revision_of_each_cluster
        a_kind_is_found_in_all_clusters
        a_hint_names_its_cluster
        a_removed_cluster_is_gone
        a_removed_clusters_name_is_forgotten_after_a_while
        a_large_cluster_is_removed_in_pieces
        jobs_learn_of_the_clusters_that_need_them;
}
