//! Host ports under `hostNetwork`: a container's port is the node's, so where no host port is said it is the container's
//! port. Init containers and sidecars too.
//!
//! Source: `pkg/apis/core/v1/defaults.go` (`defaultHostNetworkPorts`).

/// The host port that counts; 0 for none.
pub fn host_port(said: i32, container_port: i32, on_host_network: bool) -> i32 {
    if said == 0 && on_host_network { container_port } else { said }
}
