//! A cloud provider by cluster-autoscaler's `externalgrpc` contract, in place of the webhook: target sizes are set and nodes deleted by it.
//!
//! A message may come twice, and the contract's calls do harm when repeated (`NodeGroupIncreaseSize` adds again). So each message is compared with the
//! provider's own state first.
//!
//! Source: `cluster-autoscaler/cloudprovider/externalgrpc/protos/externalgrpc.proto`.

use async_trait::async_trait;
use bytes::Bytes;

use super::webhook::{Action, Hands, Message, NotAccepted};
use crate::{
    grpc::{GrpcClient, GrpcError},
    wire::protobuf::{Encoder, Fields, Value},
};

/// The provider.
#[derive(Debug)]
pub struct Provider {
    client: GrpcClient,
}

impl Provider {
    /// The provider behind a client.
    pub fn new(client: GrpcClient) -> Self {
        Self { client }
    }

    async fn call(&self, method: &str, message: Encoder) -> Result<Bytes, NotAccepted> {
        let path = format!("/clusterautoscaler.cloudprovider.v1.externalgrpc.CloudProvider/{method}");
        self.client.call(&path, &message.into_bytes()).await.map_err(|error| {
            let why = format!("{method}: {error}");
            match error {
                GrpcError::Status { .. } => NotAccepted::Refused(why),
                GrpcError::Unreached(_) => NotAccepted::Unreached(why),
            }
        })
    }

    async fn set_size(&self, group: &str, size: u32) -> Result<(), NotAccepted> {
        let reply = self.call("NodeGroupTargetSize", Encoder::default().text(1, group)).await?;
        let now = target_size(&reply).ok_or_else(|| unreadable("NodeGroupTargetSize"))?;
        let delta = i64::from(size) - i64::from(now);
        let delta = i32::try_from(delta).map_err(|error| NotAccepted::Refused(error.to_string()))?;
        let method = match delta {
            0 => return Ok(()),
            1.. => "NodeGroupIncreaseSize",
            _ => "NodeGroupDecreaseTargetSize",
        };
        self.call(method, Encoder::default().number(1, delta).text(2, group)).await.map(drop)
    }

    async fn delete(&self, group: &str, node: &str, provider_id: &str) -> Result<(), NotAccepted> {
        let reply = self.call("NodeGroupNodes", Encoder::default().text(1, group)).await?;
        let instances = instances(&reply).ok_or_else(|| unreadable("NodeGroupNodes"))?;
        if !instances.iter().any(|instance| instance == provider_id) {
            // It is gone.
            return Ok(());
        }
        let node = Encoder::default().text(1, provider_id).text(2, node);
        self.call("NodeGroupDeleteNodes", Encoder::default().message(1, &node).text(2, group)).await.map(drop)
    }
}

#[async_trait]
impl Hands for Provider {
    async fn carry_out(&self, message: &Message) -> Result<(), NotAccepted> {
        let group = message.provider_group.as_deref().unwrap_or(&message.group);
        match (message.action, &message.node) {
            (Action::DeleteNode, Some(node)) => {
                self.delete(group, node, message.provider_id.as_deref().unwrap_or(node)).await
            }
            _ => self.set_size(group, message.target_size).await,
        }
    }
}

fn unreadable(method: &str) -> NotAccepted {
    NotAccepted::Refused(format!("{method}: the reply cannot be read"))
}

/// The field of a `NodeGroupTargetSizeResponse`.
fn target_size(reply: &[u8]) -> Option<i32> {
    let (mut fields, mut size) = (Fields(reply), 0);
    while let Some((number, value)) = fields.take_next().ok()? {
        if let (1, Value::Varint(value)) = (number, value) {
            size = i32::try_from(value.cast_signed()).ok()?;
        }
    }
    Some(size)
}

/// The ids of the instances of a `NodeGroupNodesResponse`.
fn instances(reply: &[u8]) -> Option<Vec<String>> {
    let (mut fields, mut ids) = (Fields(reply), Vec::new());
    while let Some((number, value)) = fields.take_next().ok()? {
        let (1, Value::Bytes(instance)) = (number, value) else { continue };
        let mut fields = Fields(instance);
        while let Some((number, value)) = fields.take_next().ok()? {
            if let (1, Value::Bytes(id)) = (number, value) {
                ids.push(std::str::from_utf8(id).ok()?.to_owned());
            }
        }
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_and_broken_ones_are_not() {
        assert_eq!(target_size(b""), Some(0), "a size of 0 is not written");
        assert_eq!(target_size(&Encoder::default().number(1, 7).into_bytes()), Some(7));
        assert_eq!(target_size(b"\x08"), None);
        let one = Encoder::default().text(1, "aws:///i-1").message(2, &Encoder::default().number(1, 1));
        let two = Encoder::default().text(1, "aws:///i-2");
        let reply = Encoder::default().message(1, &one).message(1, &two).into_bytes();
        assert_eq!(instances(&reply), Some(vec!["aws:///i-1".to_owned(), "aws:///i-2".to_owned()]));
        assert_eq!(instances(b"\x0a\x05a"), None);
    }
}
