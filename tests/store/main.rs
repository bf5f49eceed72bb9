//! The store's contract, on every engine: one suite, each case run on a SQLite file, SQLite in memory, PostgreSQL
//! and the fake that simulations run on.
//! Run it with `scripts/test --test store`.

#[path = "../support/database.rs"]
mod database;

mod archive;
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
mod writing;

/// Makes one test of each case and engine.
macro_rules! contract {
    ($($room:ident: $($case:ident)*;)*) => {
        contract!(@engine sqlite_file SqliteFile $($room: $($case)*;)*);
        contract!(@engine sqlite_memory SqliteMemory $($room: $($case)*;)*);
        contract!(@engine postgres Postgres $($room: $($case)*;)*);
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
        creates_and_replaces
        creates_only_what_is_absent
        changes_only_what_exists
        compares_and_sets_the_revision
        compares_the_uid
        deletes_and_creates_anew
        another_uid_is_another_object
        writes_nothing_that_changes_nothing
        binds_without_touching_the_body
        losers_do_not_harm_each_other
        all_or_nothing
        goes_through_one_key_in_order
        an_empty_batch_does_nothing
        holds_any_body
        refuses_keys_no_engine_can_hold
        writes_large_batches;
    judging:
        calls_do_not_harm_each_other
        binds_once
        only_what_is_put_is_read_with_its_body
        the_judge_is_told_what_it_missed
        the_feed_leaves_out_bodies_its_reader_has
        bodies_of_kinds_that_nobody_reads_are_left_out;
    seeing:
        who_has_seen_the_head_misses_nothing;
    reading:
        an_unknown_cluster_is_empty
        clusters_are_apart
        finds_what_is_live_of_many
        lists_in_order_page_by_page
        lists_one_namespace
        follows_changes_page_by_page
        knows_whether_it_is_migrated
        refuses_calls_after_close;
    history:
        the_state_at_a_revision_is_what_it_was
        history_beyond_its_retention_goes
        without_history_there_is_only_the_present
        a_time_has_a_revision
        a_large_state_comes_in_pages;
    keeping:
        compaction_keeps_what_it_is_told_to
        compaction_goes_in_pieces
        a_reader_in_the_midst_of_its_first_pages
        readers_agree_whatever_is_compacted
        writers_are_not_disturbed
        a_lease_is_its_holders;
    archive:
        an_export_comes_back_as_it_was
        an_import_is_whole_or_nothing
        an_import_replaces_only_when_told_to
        an_export_and_an_import_leave_the_ledger_alone;
    concurrency:
        a_tailing_reader_misses_nothing
        one_writer_wins
        the_hint_wakes
        clusters_come_to_be_once;
    ledger:
        entries_come_page_by_page_in_either_order
        entries_are_found_by_their_words_and_time
        an_entry_is_appended_once
        an_append_is_whole_or_nothing
        pages_are_bounded_in_bytes
        pruning_keeps_the_newest
        pruning_goes_in_pieces
        entries_go_with_their_cluster;
    clusters:
        heads_tell_where_each_cluster_stands
        a_kind_is_found_in_all_clusters
        a_hint_names_its_cluster
        a_removed_cluster_is_gone
        a_removed_clusters_name_is_forgotten_after_a_while
        a_large_cluster_is_removed_in_pieces;
}
