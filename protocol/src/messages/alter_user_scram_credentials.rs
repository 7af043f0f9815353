//! AlterUserScramCredentials (API key 51): sets and deletes the passwords of users.

use bytes::Bytes;

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Credentials to change.
    pub struct AlterUserScramCredentialsRequest<'a> [0..=0, flexible 0..] {
        /// The credentials to delete.
        deletions: Vec<ScramCredentialDeletion<'a>> [0..],
        /// The credentials to set.
        upsertions: Vec<ScramCredentialUpsertion<'a>> [0..],
    }

    /// A credential to delete.
    pub struct ScramCredentialDeletion<'a> {
        /// The user.
        name: &'a str [0..],
        /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
        mechanism: i8 [0..],
    }

    /// A credential to set.
    pub struct ScramCredentialUpsertion<'a> {
        /// The user.
        name: &'a str [0..],
        /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
        mechanism: i8 [0..],
        /// How often the password was hashed.
        iterations: i32 [0..],
        /// The salt.
        salt: Bytes [0..],
        /// The hash of the salted password.
        salted_password: Bytes [0..],
    }

    /// What became of the changes.
    pub struct AlterUserScramCredentialsResponse<'a> [0..=0, flexible 0..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// Result by result.
        results: Vec<AlterUserScramCredentialsResult<'a>> [0..],
    }

    /// What became of one user.
    pub struct AlterUserScramCredentialsResult<'a> {
        /// The user.
        user: &'a str [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [0.., null 0..],
    }
}

impl<'a> Request<'a> for AlterUserScramCredentialsRequest<'a> {
    const KEY: ApiKey = ApiKey::AlterUserScramCredentials;
    type Response<'r> = AlterUserScramCredentialsResponse<'r>;
}
