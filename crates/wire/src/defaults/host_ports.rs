//! Host ports under `hostNetwork`: a container's port is the node's, so the default host port is the container's port. That includes init
//! containers and sidecars.
//!
//! Source: `pkg/apis/core/v1/defaults.go` (`defaultHostNetworkPorts`).

/// The host port that counts; 0 for none.
pub fn host_port(said: i32, container_port: i32, on_host_network: bool) -> i32 {
    if said == 0 && on_host_network { container_port } else { said }
}
