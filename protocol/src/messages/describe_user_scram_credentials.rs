//! DescribeUserScramCredentials (API key 50): which users have passwords.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Users to describe.
    pub struct DescribeUserScramCredentialsRequest<'a> [0..=0, flexible 0..] {
        /// The users, or null or none for all.
        users: Option<Vec<UserName<'a>>> [0.., null 0..],
    }

    /// A user.
    pub struct UserName<'a> {
        /// The user.
        name: &'a str [0..],
    }

    /// Their credentials.
    pub struct DescribeUserScramCredentialsResponse<'a> [0..=0, flexible 0..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [0.., null 0..],
        /// Result by result.
        results: Vec<DescribeUserScramCredentialsResult<'a>> [0..],
    }

    /// The credentials of one user.
    pub struct DescribeUserScramCredentialsResult<'a> {
        /// The user.
        user: &'a str [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [0.., null 0..],
        /// The credentials.
        credential_infos: Vec<CredentialInfo> [0..],
    }

    /// A credential, without its secret.
    pub struct CredentialInfo {
        /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
        mechanism: i8 [0..],
        /// How often the password was hashed.
        iterations: i32 [0..],
    }
}

impl<'a> Request<'a> for DescribeUserScramCredentialsRequest<'a> {
    const KEY: ApiKey = ApiKey::DescribeUserScramCredentials;
    type Response<'r> = DescribeUserScramCredentialsResponse<'r>;
}
