//! Passwords of users who log in by SCRAM. A password never leaves this process: a cluster gets a salted hash.

use std::collections::BTreeMap;
use std::fmt;

use anabranch_protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, ScramCredentialDeletion,
    ScramCredentialUpsertion,
};
use anabranch_protocol::messages::describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse, UserName,
};
use bytes::Bytes;
use pbkdf2::pbkdf2_hmac;
use sha2::{Sha256, Sha512};

use super::{Admin, outcome};
use crate::error::{ClientError, Result};

/// How a user proves to know the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScramMechanism {
    /// `SCRAM-SHA-256`.
    Sha256,
    /// `SCRAM-SHA-512`.
    Sha512,
}

/// A password that is known to the cluster, without its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScramCredential {
    /// What it is good for.
    pub mechanism: ScramMechanism,
    /// How often it was hashed.
    pub iterations: i32,
}

/// A change of one user's password for one mechanism.
#[derive(Clone, PartialEq, Eq)]
pub enum ScramChange {
    /// From now on it is this one.
    Set {
        /// Whose.
        user: String,
        /// For which mechanism, hashed how often.
        credential: ScramCredential,
        /// The password.
        password: String,
        /// What is mixed into the hash; none: by chance.
        salt: Option<Vec<u8>>,
    },
    /// There is none any more.
    Delete {
        /// Whose.
        user: String,
        /// For which mechanism.
        mechanism: ScramMechanism,
    },
}

impl ScramMechanism {
    /// All of them.
    pub const ALL: [ScramMechanism; 2] = [ScramMechanism::Sha256, ScramMechanism::Sha512];

    fn code(self) -> i8 {
        match self {
            ScramMechanism::Sha256 => 1,
            ScramMechanism::Sha512 => 2,
        }
    }

    fn from_code(code: i8) -> Result<Self> {
        ScramMechanism::ALL
            .into_iter()
            .find(|mechanism| mechanism.code() == code)
            .ok_or_else(|| ClientError::corrupt(format!("SCRAM mechanism {code} is not known")))
    }

    /// The salted password of RFC 5802, of which a broker derives what it compares.
    fn salted_password(self, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
        match self {
            ScramMechanism::Sha256 => {
                let mut hash = vec![0; 32];
                pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut hash);
                hash
            }
            ScramMechanism::Sha512 => {
                let mut hash = vec![0; 64];
                pbkdf2_hmac::<Sha512>(password.as_bytes(), salt, iterations, &mut hash);
                hash
            }
        }
    }
}

impl fmt::Display for ScramMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ScramMechanism::Sha256 => "SCRAM-SHA-256",
            ScramMechanism::Sha512 => "SCRAM-SHA-512",
        })
    }
}

impl ScramChange {
    fn user(&self) -> &str {
        match self {
            ScramChange::Set { user, .. } | ScramChange::Delete { user, .. } => user,
        }
    }
}

impl fmt::Debug for ScramChange {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScramChange::Set { user, credential, .. } => f
                .debug_struct("Set")
                .field("user", user)
                .field("credential", credential)
                .finish_non_exhaustive(),
            ScramChange::Delete { user, mechanism } => {
                f.debug_struct("Delete").field("user", user).field("mechanism", mechanism).finish()
            }
        }
    }
}

impl Admin {
    /// The passwords of these users (none: of all) that are known to the cluster; answers for each.
    ///
    /// ```
    /// use anabranch_client::ErrorCode;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (host, runtime) = anabranch_host::Host::real(1)?;
    /// # runtime.block_on(async {
    /// # let broker = anabranch_broker::embedded::EmbeddedBroker::start(host.clone(), Default::default()).await?;
    /// # let client = anabranch_client::Client::connect(&host, broker.dialer(), Default::default()).await?;
    /// for (user, described) in client.admin().describe_scram_credentials(Some(&["alice"])).await? {
    ///     match described {
    ///         Ok(credentials) => println!("{user}: {credentials:?}"),
    ///         Err(error) => assert_eq!(error.code(), Some(ErrorCode::RESOURCE_NOT_FOUND)),
    ///     }
    /// }
    /// # broker.shutdown().await;
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    ///
    /// # Errors
    /// Retriable, if no broker answers in time. A user's own result is Invalid, if there is no password of that user
    /// (RESOURCE_NOT_FOUND).
    pub async fn describe_scram_credentials(
        &self,
        users: Option<&[&str]>,
    ) -> Result<BTreeMap<String, Result<Vec<ScramCredential>>>> {
        self.until_done(|| async {
            let users = users.map(|users| users.iter().map(|user| UserName { name: user }).collect());
            let request = DescribeUserScramCredentialsRequest { users };
            let answer = self.client.controller_connection().await?.call(&request).await?;
            let response: DescribeUserScramCredentialsResponse<'_> = answer.decode()?;
            outcome("describing passwords", response.error_code, response.error_message, ())?;
            let mut described = BTreeMap::new();
            for result in &response.results {
                let what = format!("describing passwords of {}", result.user);
                let mut credentials = Vec::new();
                for info in &result.credential_infos {
                    let mechanism = ScramMechanism::from_code(info.mechanism)?;
                    credentials.push(ScramCredential { mechanism, iterations: info.iterations });
                }
                let result_of_user = outcome(&what, result.error_code, result.error_message, credentials);
                described.insert(result.user.to_string(), result_of_user);
            }
            Ok(described)
        })
        .await
    }

    /// Sets and deletes passwords; answers for each user.
    ///
    /// # Errors
    /// Retriable, if no broker took the request in time; Invalid, if a password would not be hashed at all. A user's own
    /// result is Invalid, if there is nothing to delete, if it is hashed too seldom, or if the cluster lets nobody log in.
    pub async fn alter_scram_credentials(
        &self,
        changes: &[ScramChange],
    ) -> Result<BTreeMap<String, Result<()>>> {
        let (mut deletions, mut upsertions) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                ScramChange::Delete { user, mechanism } => {
                    deletions.push(ScramCredentialDeletion { name: user, mechanism: mechanism.code() });
                }
                ScramChange::Set { user, credential, password, salt } => {
                    let ScramCredential { mechanism, iterations } = *credential;
                    let rounds = u32::try_from(iterations).ok().filter(|rounds| *rounds > 0);
                    let rounds = rounds.ok_or_else(|| {
                        ClientError::invalid(format!(
                            "password of {user}: {iterations} iterations hash nothing"
                        ))
                    })?;
                    let salt = salt.clone().unwrap_or_else(|| self.client.host().random_uuid().to_vec());
                    let salted_password = mechanism.salted_password(password, &salt, rounds).into();
                    upsertions.push(ScramCredentialUpsertion {
                        name: user,
                        mechanism: mechanism.code(),
                        iterations,
                        salt: Bytes::from(salt),
                        salted_password,
                    });
                }
            }
        }
        let request = AlterUserScramCredentialsRequest { deletions, upsertions };
        self.until_done(|| async {
            let answer = self.client.controller_connection().await?.call(&request).await?;
            let response: AlterUserScramCredentialsResponse<'_> = answer.decode()?;
            let mut results = BTreeMap::new();
            for result in &response.results {
                let what = format!("changing the password of {}", result.user);
                let outcome = outcome(&what, result.error_code, result.error_message, ());
                results.insert(result.user.to_string(), outcome);
            }
            match changes.iter().find(|change| !results.contains_key(change.user())) {
                Some(change) => {
                    Err(ClientError::corrupt(format!("changing passwords: no answer for {}", change.user())))
                }
                None => Ok(results),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_hashed_as_others_hash_it() {
        // By Python's hashlib.pbkdf2_hmac, with the password and the salt of RFC 7677.
        let salt =
            [0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81];
        let check = |mechanism: ScramMechanism, expected: &str| {
            let hash = mechanism.salted_password("pencil", &salt, 4096);
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hash, expected, "{mechanism}");
        };
        check(ScramMechanism::Sha256, "c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d");
        check(
            ScramMechanism::Sha512,
            "f16efe1be67f1d09502ebd5ed9262fddffba5a377ab4f0b687e5ed5ba0f50686b8a4ae166476da8ab3b951d2fa9238b63998f45461bc33a464814949cec9631d",
        );
    }

    #[test]
    fn a_change_shows_no_password() {
        let credential = ScramCredential { mechanism: ScramMechanism::Sha256, iterations: 4096 };
        let (user, password) = ("alice".to_string(), "secret".to_string());
        let shown = format!("{:?}", ScramChange::Set { user, credential, password, salt: None });
        assert!(shown.contains("alice") && !shown.contains("secret"), "{shown}");
    }
}
