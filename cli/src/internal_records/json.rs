//! JSON whose fields stay in the order they are told, as Kafka writes them.

use anabranch_client::Uuid;

/// The fields of an object.
#[derive(Debug)]
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Object {
        Object("{".to_string())
    }

    /// A field whose value is JSON.
    pub(super) fn raw(mut self, name: &str, value: &str) -> Object {
        let comma = if self.0.len() == 1 { "" } else { "," };
        self.0.push_str(&format!("{comma}\"{name}\":{value}"));
        self
    }

    pub(super) fn number(self, name: &str, value: impl Into<i64>) -> Object {
        let value: i64 = value.into();
        self.raw(name, &value.to_string())
    }

    pub(super) fn text(self, name: &str, value: &str) -> Object {
        self.raw(name, &quoted(value))
    }

    pub(super) fn text_or_null(self, name: &str, value: Option<&str>) -> Object {
        self.raw(name, &value.map_or("null".to_string(), quoted))
    }

    /// Bytes in base64.
    pub(super) fn bytes_or_null(self, name: &str, value: Option<&[u8]>) -> Object {
        self.raw(name, &value.map_or("null".to_string(), |bytes| format!("\"{}\"", base64(bytes))))
    }

    pub(super) fn array(self, name: &str, items: impl IntoIterator<Item = String>) -> Object {
        self.raw(name, &array(items))
    }

    pub(super) fn numbers(self, name: &str, values: &[i32]) -> Object {
        self.array(name, values.iter().map(i32::to_string))
    }

    pub(super) fn id(self, name: &str, id: Uuid) -> Object {
        self.text(name, &id.to_string())
    }

    /// A field that is told only if it is there, as Kafka does with tagged ones.
    pub(super) fn if_some<T>(self, value: Option<T>, tell: impl FnOnce(Object, T) -> Object) -> Object {
        match value {
            Some(value) => tell(self, value),
            None => self,
        }
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

pub(super) fn array(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(","))
}

pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Standard base64, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for letter in 0..4 {
            match letter <= chunk.len() {
                true => text.push(char::from(LETTERS[(bits >> (18 - 6 * letter)) as usize & 63])),
                false => text.push('='),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_base64() {
        for (bytes, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), expected);
        }
    }

    #[test]
    fn fields_stay_in_order() {
        let object = Object::new().number("b", 1).text("a", "x\"y").numbers("c", &[1, 2]);
        let object = object.text_or_null("d", None).if_some(None::<i32>, |object, _| object.number("e", 1));
        assert_eq!(object.finish(), r#"{"b":1,"a":"x\"y","c":[1,2],"d":null}"#);
    }
}
