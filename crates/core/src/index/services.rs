//! Services by a label of the pods that they select.

use std::sync::Arc;

use imbl::OrdMap;

use crate::{
    model::{Name, Pod, Workload},
    work,
};

/// A service's namespace, a label that its pods have (two empty texts where it needs none in particular), and its name.
type Filed = (Name, Name, Name, Name);

/// All services that select anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Services(OrdMap<Filed, Arc<Workload>>);

impl Services {
    /// A service has come.
    pub(super) fn add(&mut self, service: &Arc<Workload>) {
        if let Some(filed) = filed(service) {
            self.0.insert(filed, service.clone());
        }
    }

    /// A service has gone.
    pub(super) fn remove(&mut self, service: &Workload) {
        if let Some(filed) = filed(service) {
            self.0.remove(&filed);
        }
    }

    /// The services that select a pod, in order of their names.
    pub(crate) fn selecting(&self, pod: &Pod) -> Vec<&Arc<Workload>> {
        let unlabelled = (Name::default(), Name::default());
        let mut found = Vec::new();
        for (key, value) in pod.labels.iter().chain([&unlabelled]) {
            let from = (pod.namespace.clone(), key.clone(), value.clone(), Name::default());
            let there = self.0.range::<_, Filed>(&from..);
            let there = there.take_while(|(filed, _)| (&filed.0, &filed.1, &filed.2) == (&from.0, &from.1, &from.2));
            let selects = |service: &&Arc<Workload>| {
                work::spend(1);
                service.selector.as_ref().is_some_and(|s| s.matches(&pod.labels))
            };
            found.extend(there.map(|(_, service)| service).filter(selects));
        }
        found.sort_by_key(|service| &service.name);
        found
    }
}

fn filed(service: &Workload) -> Option<Filed> {
    let label = service.selector.as_ref()?.needed_label();
    let (key, value) = label.map_or_else(Default::default, |(key, value)| (key.clone(), value.clone()));
    Some((service.namespace.clone(), key, value, service.name.clone()))
}
