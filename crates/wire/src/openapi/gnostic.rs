//! OpenAPI 2.0 in protobuf, which is the only form in which kubectl reads it.
//!
//! Source: `github.com/google/gnostic-models/openapiv2/OpenAPIv2.proto` (the numbers of fields). Extensions are YAML texts;
//! JSON is YAML.

use serde_json::Value;

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn bytes(mut self, number: u64, bytes: &[u8]) -> Self {
        self.varint(number << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn message(self, number: u64, message: &Self) -> Self {
        self.bytes(number, &message.0)
    }

    /// A text, if there is one.
    fn text(self, number: u64, text: &Value) -> Self {
        match text.as_str() {
            Some(text) => self.bytes(number, text.as_bytes()),
            None => self,
        }
    }

    fn truth(mut self, number: u64, value: &Value) -> Self {
        if value == true {
            self.varint(number << 3);
            self.varint(1);
        }
        self
    }

    /// Messages made of the entries of an object or list.
    fn all<'v, T>(self, number: u64, of: impl IntoIterator<Item = T>, make: impl Fn(T) -> Self + 'v) -> Self {
        of.into_iter().fold(self, |message, one| message.message(number, &make(one)))
    }

    /// The extensions of an object.
    fn extensions(self, number: u64, object: &Value) -> Self {
        let extensions = entries(object).filter(|(name, _)| name.starts_with("x-"));
        self.all(number, extensions, |(name, value)| {
            named(name, &Self::default().bytes(2, value.to_string().as_bytes()))
        })
    }
}

fn entries(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// A name and a value.
fn named(name: &str, value: &Message) -> Message {
    Message::default().bytes(1, name.as_bytes()).message(2, value)
}

/// A document as a message.
pub fn encode(document: &Value) -> Vec<u8> {
    let info = &document["info"];
    let info = Message::default().text(1, &info["title"]).text(2, &info["version"]);
    let paths = Message::default().all(2, entries(&document["paths"]), |(name, path)| named(name, &path_item(path)));
    let definitions = named_schemas(&document["definitions"]);
    Message::default().text(1, &document["swagger"]).message(2, &info).message(8, &paths).message(9, &definitions).0
}

fn named_schemas(schemas: &Value) -> Message {
    Message::default().all(1, entries(schemas), |(name, of)| named(name, &schema(of)))
}

fn path_item(path: &Value) -> Message {
    let methods = [("get", 2), ("put", 3), ("post", 4), ("delete", 5), ("patch", 8)];
    let item = methods.into_iter().fold(Message::default(), |item, (method, number)| match &path[method] {
        Value::Null => item,
        of => item.message(number, &operation(of)),
    });
    item.all(9, items(&path["parameters"]), parameter)
}

fn operation(of: &Value) -> Message {
    let responses = Message::default().all(1, entries(&of["responses"]), |(code, response)| {
        let schema = Message::default().message(1, &schema(&response["schema"]));
        let response = Message::default().text(1, &response["description"]).message(2, &schema);
        named(code, &Message::default().message(1, &response))
    });
    Message::default()
        .text(5, &of["operationId"])
        .all(8, items(&of["parameters"]), parameter)
        .message(9, &responses)
        .extensions(13, of)
}

fn parameter(of: &Value) -> Message {
    let parameter = match of["in"].as_str() {
        Some("body") => {
            let body = Message::default().text(2, &of["name"]).text(3, &of["in"]).message(5, &schema(&of["schema"]));
            Message::default().message(1, &body)
        }
        Some("path") => {
            let path = Message::default().truth(1, &of["required"]).text(2, &of["in"]);
            let path = path.text(4, &of["name"]).text(5, &of["type"]);
            Message::default().message(2, &Message::default().message(4, &path))
        }
        _ => {
            let query = Message::default().text(2, &of["in"]).text(4, &of["name"]).text(6, &of["type"]);
            Message::default().message(2, &Message::default().message(3, &query))
        }
    };
    Message::default().message(1, &parameter)
}

fn schema(of: &Value) -> Message {
    let mut message = Message::default().text(1, &of["$ref"]).text(2, &of["format"]).text(4, &of["description"]);
    message = items(&of["required"]).fold(message, |message, name| message.text(19, name));
    if of["additionalProperties"].is_object() {
        message = message.message(21, &Message::default().message(1, &schema(&of["additionalProperties"])));
    }
    if of["type"].is_string() {
        message = message.message(22, &Message::default().text(1, &of["type"]));
    }
    if of["items"].is_object() {
        message = message.message(23, &Message::default().message(1, &schema(&of["items"])));
    }
    if of["properties"].is_object() {
        message = message.message(25, &named_schemas(&of["properties"]));
    }
    message.extensions(31, of)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_written_field_by_field() {
        let document = json!({"swagger": "2.0", "info": {"title": "t", "version": "v"}, "paths": {}, "definitions": {
            "A": {"$ref": "r", "type": "object", "required": ["b"], "x-y": [1]},
        }});
        let extension = [&[10, 3][..], b"x-y", &[18, 5, 18, 3], b"[1]"].concat();
        let schema =
            [&[10, 1][..], b"r", &[0x9a, 1, 1], b"b", &[0xb2, 1, 8, 10, 6], b"object", &[0xfa, 1, 12], &extension]
                .concat();
        let named = [&[10, 1][..], b"A", &[18, schema.len() as u8], &schema].concat();
        let definitions = [&[10, named.len() as u8][..], &named].concat();
        let expected = [
            &[10, 3][..],
            b"2.0",
            &[18, 6, 10, 1],
            b"t",
            &[18, 1],
            b"v",
            &[66, 0],
            &[74, definitions.len() as u8],
            &definitions,
        ]
        .concat();
        assert_eq!(encode(&document), expected);
    }
}
