//! Kubernetes-shaped state over HTTP, on SQLite in memory and on PostgreSQL. The router is called without a socket.
//! Run it with `scripts/test --test state`.

#[path = "../support/database.rs"]
#[allow(dead_code, reason = "SQLite files are for the suite of the store")]
mod database;
#[macro_use]
#[path = "../support/engines.rs"]
mod engines;
#[path = "../support/server.rs"]
mod server;
#[path = "../support/watch.rs"]
mod watch;

mod admission;
mod autoscale;
mod bad;
mod clusters;
mod conditions;
mod deletion;
mod documents;
mod evictions;
mod imports;
mod lists;
mod members;
mod mirrors;
mod moves;
mod objects;
mod patches;
mod placements;
mod placing;
mod pods;
mod promises;
mod quotas;
mod scheduler;
mod service;
mod subresources;
mod watches;

use serde_json::Value;

cases! {
    objects:
        every_kind_lives_a_life
        objects_come_back_as_they_were_sent
        yaml_is_read
        names_are_generated
        a_name_is_taken_once
        an_outdated_put_is_refused
        a_put_keeps_the_identity
        status_is_replaced_alone
        deletions_have_preconditions
        collections_are_deleted_by_selector
        dry_runs_store_nothing
        clusters_are_apart
        a_write_shows_in_the_snapshot
        kinds_that_no_decision_reads_stay_out_of_the_snapshot
        both_forms_of_an_event_are_one_object
        earlier_versions_are_served_and_not_listed
        secrets_are_not_stored;
    service:
        every_write_of_an_object_goes_through_one_function
        imports_binds_and_filters_need_no_http;
    patches:
        each_media_type_patches
        a_patch_is_checked_like_a_put
        the_status_is_patched_by_its_own_path
        an_apply_creates_and_owns
        options_of_a_patch_are_checked
        other_writes_have_managers_too;
    clusters:
        decisions_over_a_cluster_that_does_not_exist_are_not_found
        a_removed_cluster_is_gone_everywhere
        the_default_cluster_cannot_be_removed;
    members:
        a_cluster_is_one_object_under_every_path
        the_source_of_a_cluster_is_in_its_object
        a_source_of_an_earlier_release_is_read_and_taken_over
        faulty_clusters_are_refused
        the_path_of_the_source_tells_where_the_object_is
        placement_reads_all_clusters;
    lists:
        lists_page_by_page
        selectors_choose
        lists_of_a_node_are_those_of_a_search
        namespaces_are_listed_apart
        tokens_and_revisions_are_checked;
    watches:
        a_watch_tells_every_change
        a_watch_begins_where_it_is_told
        the_end_of_the_initial_events_is_marked
        pods_enter_and_leave_a_selection
        one_object_is_watched_by_its_name_and_by_the_old_path
        options_of_watches_are_checked
        each_form_of_an_object_has_its_own_events
        other_replicas_are_watched;
    pods:
        a_binding_binds_once
        binding_rejects_a_node_without_room
        pod_update_rejects_immutable_fields
        bound_pods_stay_bound
        an_eviction_charges_its_budget
        evicting_an_ended_pod_costs_no_disruption
        evictions_obey_preconditions;
    placements:
        room_is_counted_by_the_node_engine_and_every_rejection_is_told
        short_of_room_all_or_nothing_or_what_fits
        a_bind_is_made_in_all_clusters
        a_thousand_reservations_at_once_stay_within_the_room
        bad_placements_get_clear_errors;
    quotas:
        replicas_together_stay_within_a_quota
        one_replica_uses_a_quota_up
        an_update_is_charged_the_difference
        a_dry_run_charges_nothing
        schedule_refuses_what_creation_refuses
        patches_of_one_object_all_come_through;
    scheduler:
        pods_are_placed_as_they_come
        an_unschedulable_pod_waits_for_a_cure
        a_pod_that_goes_makes_room
        a_gated_pod_waits_for_its_gates
        a_pod_of_higher_priority_preempts
        many_pods_are_each_placed_once;
    autoscale:
        a_group_grows_for_pods_that_wait_and_the_webhook_is_told
        unneeded_nodes_are_drained_and_told_to_be_deleted_down_to_the_smallest_size
        a_loop_that_only_advises_changes_nothing
        a_webhook_that_does_not_accept_is_told_again_under_the_same_id
        groups_that_share_a_node_are_left_alone_and_the_others_are_not
        of_two_processes_one_scales_replicas_and_the_other_goes_on;
    evictions:
        taints_evict_in_time
        post_carries_out_the_evictions_that_are_due
        a_pod_that_may_stay_again_stays
        many_evictions_at_once;
    moves:
        a_cluster_that_is_taken_away_loses_nothing
        a_copy_whose_original_stays_is_released
        a_copy_whose_cluster_goes_away_is_made_elsewhere
        copies_stand_for_those_that_go_and_for_no_others
        callers_at_once_move_each_pod_once_though_its_cluster_comes_back
        budgets_that_forbid_all_are_told
        no_pod_leaves_without_room_elsewhere;
    imports:
        import_takes_all_that_kubectl_prints
        every_kind_is_imported
        one_bad_object_refuses_all
        faulty_running_pods_are_imported_with_a_warning
        a_second_import_changes_nothing
        a_bind_outlives_an_import
        mirror_import_deletes_absent_objects
        import_dry_run_stores_nothing
        many_at_once;
    bad:
        bodies_that_cannot_be_read
        objects_that_break_rules
        types_that_a_later_request_reads
        fields_that_do_not_exist
        objects_in_the_wrong_place
        collections_are_not_patched;
}

/// The names of a list's items in their order.
pub(crate) fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().expect("items").iter().filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

/// An object as an item of a list, which tells the kind of its items itself.
pub(crate) fn item(object: &Value) -> Value {
    let fields = object.as_object().expect("an object").iter();
    fields
        .filter(|(name, _)| !matches!(name.as_str(), "kind" | "apiVersion"))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

/// The fields of a refusal's causes in their order.
pub(crate) fn fields(status: &Value) -> Vec<&str> {
    let causes = status["details"]["causes"].as_array().expect("causes");
    causes.iter().filter_map(|cause| cause["field"].as_str()).collect()
}
