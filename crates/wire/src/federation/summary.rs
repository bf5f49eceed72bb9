//! Sums over the nodes of a cluster, and models of its nodes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::bounded;
use crate::{
    fault::{Faults, Path},
    objects::quantity::{QuantityText, resource_list},
};
use podberth_core::federation::estimate::{Amounts, Sums};

/// Models of a request, and resources of one.
const MOST_MODELS: usize = 1_000;

/// Sums over the nodes of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SummaryRequest {
    /// Offered to pods.
    pub allocatable: BTreeMap<String, QuantityText>,
    /// Requested by pods on nodes.
    pub allocated: BTreeMap<String, QuantityText>,
    /// Requested by pods that wait.
    pub allocating: BTreeMap<String, QuantityText>,
    /// How many nodes there are of each model. With models the sums of resources are not used.
    pub allocatable_modelings: Vec<ModelingRequest>,
}

/// How many nodes there are of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ModelingRequest {
    /// The model.
    #[schema(minimum = 0)]
    pub grade: i64,
    /// How many.
    #[schema(minimum = 0)]
    pub count: i64,
}

/// A model of nodes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ModelRequest {
    /// Its number.
    #[schema(minimum = 0)]
    pub grade: i64,
    /// Free amounts of its nodes.
    pub ranges: Vec<RangeRequest>,
}

/// The free amount of a resource on nodes of a model.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RangeRequest {
    /// The resource.
    #[schema(example = "cpu")]
    pub name: String,
    /// At least so much. This is what counts.
    pub min: QuantityText,
    /// Less than so much.
    pub max: QuantityText,
}

impl SummaryRequest {
    /// The sums.
    pub(super) fn to_core(&self, models: &[ModelRequest], at: &Path<'_>, faults: &mut Faults) -> Sums {
        let mut list = |of: &BTreeMap<String, QuantityText>, field| resource_list(of, &at.child(field), faults);
        let allocatable = list(&self.allocatable, "allocatable");
        let allocated = list(&self.allocated, "allocated");
        let allocating = list(&self.allocating, "allocating");
        Sums { allocatable, allocated, allocating, models: self.models(models, at, faults) }
    }

    fn models(&self, models: &[ModelRequest], at: &Path<'_>, faults: &mut Faults) -> Vec<(Amounts, i64)> {
        let models_at = Path::ROOT.child("models");
        let counts_at = at.child("allocatableModelings");
        bounded(models.len(), MOST_MODELS, &models_at, faults);
        bounded(self.allocatable_modelings.len(), MOST_MODELS, &counts_at, faults);
        if models.is_empty() {
            return Vec::new();
        }
        let mut read = Vec::new();
        for (index, ModelingRequest { grade, count }) in self.allocatable_modelings.iter().take(MOST_MODELS).enumerate()
        {
            let at = counts_at.index(index);
            if *count < 0 {
                faults.invalid(&at.child("count"), count, "must be greater than or equal to 0");
            }
            let model = models.iter().take(MOST_MODELS).enumerate().find(|(_, model)| model.grade == *grade);
            let Some((index, model)) = model else {
                faults.not_found(&at.child("grade"), grade, "no model has it");
                continue;
            };
            let ranges = model.ranges.iter().take(MOST_MODELS);
            let least: BTreeMap<String, QuantityText> = ranges.map(|of| (of.name.clone(), of.min.clone())).collect();
            let model_at = models_at.index(index);
            read.push((resource_list(&least, &model_at.child("ranges"), faults), (*count).max(0)));
        }
        read
    }
}
