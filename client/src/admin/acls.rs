//! Who may do what: entries of an authorizer, if the cluster has one.

use std::collections::BTreeMap;

use anabranch_protocol::messages::create_acls::{
    AclCreation, AclCreationResult, CreateAclsRequest, CreateAclsResponse,
};
use anabranch_protocol::messages::delete_acls::{
    DeleteAclsFilter, DeleteAclsFilterResult, DeleteAclsMatchingAcl, DeleteAclsRequest, DeleteAclsResponse,
};
use anabranch_protocol::messages::describe_acls::{
    DescribeAclsRequest, DescribeAclsResource, DescribeAclsResponse,
};

use super::{Admin, outcome};
use crate::error::{ClientError, Result};

/// What stands for anything in a filter.
const ANY: i8 = 1;

/// An enum of Kafka's numbers; a newer broker may know more of them.
macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
            /// Of a kind that is not known here, by Kafka's number.
            Unknown(i8),
        }

        impl $name {
            fn code(self) -> i8 {
                match self {
                    $($name::$variant => $code,)*
                    $name::Unknown(code) => code,
                }
            }

            fn from_code(code: i8) -> Self {
                match code {
                    $($code => $name::$variant,)*
                    code => $name::Unknown(code),
                }
            }
        }
    };
}

numbered! {
    /// What something is done to.
    AclResource {
        /// A topic.
        Topic = 2,
        /// A group.
        Group = 3,
        /// The cluster, which is named `kafka-cluster`.
        Cluster = 4,
        /// A transactional id.
        TransactionalId = 5,
        /// A delegation token.
        DelegationToken = 6,
        /// A user.
        User = 7,
    }
}

numbered! {
    /// How an entry means its resource's name.
    AclPattern {
        /// Literally; `*` is all.
        Literal = 3,
        /// All names that begin so.
        Prefixed = 4,
    }
}

numbered! {
    /// What is done.
    AclOperation {
        /// Everything.
        All = 2,
        /// Read.
        Read = 3,
        /// Write.
        Write = 4,
        /// Create.
        Create = 5,
        /// Delete.
        Delete = 6,
        /// Alter.
        Alter = 7,
        /// Describe.
        Describe = 8,
        /// What brokers do among themselves.
        ClusterAction = 9,
        /// Describe settings.
        DescribeConfigs = 10,
        /// Alter settings.
        AlterConfigs = 11,
        /// Write without a double.
        IdempotentWrite = 12,
        /// Create delegation tokens.
        CreateTokens = 13,
        /// Describe delegation tokens.
        DescribeTokens = 14,
        /// Take part in a transaction of somebody else's coordinator.
        TwoPhaseCommit = 15,
    }
}

numbered! {
    /// Whether it may be done.
    AclPermission {
        /// It may not, whatever else says so.
        Deny = 2,
        /// It may.
        Allow = 3,
    }
}

/// An entry: somebody may, or may not, do something to a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AclBinding {
    /// What the resource is.
    pub resource: AclResource,
    /// Its name.
    pub name: String,
    /// How the name is meant.
    pub pattern: AclPattern,
    /// Who: `User:alice`, `User:*`.
    pub principal: String,
    /// From where; `*` is anywhere.
    pub host: String,
    /// What is done.
    pub operation: AclOperation,
    /// Whether it may be.
    pub permission: AclPermission,
}

/// How a filter means a resource's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AclNameFilter {
    /// Entries of any pattern with this very name.
    #[default]
    Any,
    /// All entries that are in force for a resource of this name.
    InForce,
    /// Entries of this pattern with this very name.
    Of(AclPattern),
}

/// Which entries; what is none may be anything, and the default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclFilter {
    /// What the resource is.
    pub resource: Option<AclResource>,
    /// Its name.
    pub name: Option<String>,
    /// How the name is meant.
    pub pattern: AclNameFilter,
    /// Who.
    pub principal: Option<String>,
    /// From where.
    pub host: Option<String>,
    /// What is done.
    pub operation: Option<AclOperation>,
    /// Whether it may be.
    pub permission: Option<AclPermission>,
}

impl AclBinding {
    fn as_creation(&self) -> AclCreation<'_> {
        AclCreation {
            resource_type: self.resource.code(),
            resource_name: &self.name,
            resource_pattern_type: self.pattern.code(),
            principal: &self.principal,
            host: &self.host,
            operation: self.operation.code(),
            permission_type: self.permission.code(),
        }
    }
}

impl AclNameFilter {
    fn code(self) -> i8 {
        match self {
            AclNameFilter::Any => ANY,
            AclNameFilter::InForce => 2,
            AclNameFilter::Of(pattern) => pattern.code(),
        }
    }
}

impl AclFilter {
    fn as_description(&self) -> DescribeAclsRequest<'_> {
        DescribeAclsRequest {
            resource_type_filter: self.resource.map_or(ANY, AclResource::code),
            resource_name_filter: self.name.as_deref(),
            pattern_type_filter: self.pattern.code(),
            principal_filter: self.principal.as_deref(),
            host_filter: self.host.as_deref(),
            operation: self.operation.map_or(ANY, AclOperation::code),
            permission_type: self.permission.map_or(ANY, AclPermission::code),
        }
    }

    fn as_deletion(&self) -> DeleteAclsFilter<'_> {
        let DescribeAclsRequest {
            resource_type_filter,
            resource_name_filter,
            pattern_type_filter,
            principal_filter,
            host_filter,
            operation,
            permission_type,
        } = self.as_description();
        DeleteAclsFilter {
            resource_type_filter,
            resource_name_filter,
            pattern_type_filter,
            principal_filter,
            host_filter,
            operation,
            permission_type,
        }
    }
}

impl Admin {
    /// The entries that a filter chooses.
    ///
    /// ```
    /// use anabranch_client::{AclFilter, AclResource, ErrorCode};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (host, runtime) = anabranch_host::Host::real(1)?;
    /// # runtime.block_on(async {
    /// # let broker = anabranch_broker::embedded::EmbeddedBroker::start(host.clone(), Default::default()).await?;
    /// # let client = anabranch_client::Client::connect(&host, broker.dialer(), Default::default()).await?;
    /// let topics = AclFilter { resource: Some(AclResource::Topic), ..Default::default() };
    /// match client.admin().describe_acls(&topics).await {
    ///     Ok(entries) => entries.iter().for_each(|entry| println!("{entry:?}")),
    ///     Err(error) => assert_eq!(error.code(), Some(ErrorCode::SECURITY_DISABLED)),
    /// }
    /// # broker.shutdown().await;
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    ///
    /// # Errors
    /// Retriable, if no broker answers in time; Invalid with SECURITY_DISABLED, if the cluster has no authorizer.
    pub async fn describe_acls(&self, filter: &AclFilter) -> Result<Vec<AclBinding>> {
        let request = filter.as_description();
        self.until_done(|| async {
            let answer = self.client.any_connection().await?.call(&request).await?;
            let response: DescribeAclsResponse<'_> = answer.decode()?;
            outcome("describing ACLs", response.error_code, response.error_message, ())?;
            let mut bindings: Vec<AclBinding> = response.resources.iter().flat_map(bindings).collect();
            bindings.sort();
            Ok(bindings)
        })
        .await
    }

    /// Makes entries; answers for each.
    ///
    /// # Errors
    /// Retriable, if no broker took the request in time. An entry's own result is Invalid, if it cannot be, or if the
    /// cluster has no authorizer (SECURITY_DISABLED).
    pub async fn create_acls(&self, bindings: &[AclBinding]) -> Result<BTreeMap<AclBinding, Result<()>>> {
        let request = CreateAclsRequest { creations: bindings.iter().map(AclBinding::as_creation).collect() };
        self.until_done(|| async {
            let answer = self.client.controller_connection().await?.call(&request).await?;
            let response: CreateAclsResponse<'_> = answer.decode()?;
            check_count("creating ACLs", bindings.len(), response.results.len())?;
            let result = |(binding, result): (&AclBinding, &AclCreationResult<'_>)| {
                let what = format!("creating an ACL of {}", binding.principal);
                (binding.clone(), outcome(&what, result.error_code, result.error_message, ()))
            };
            Ok(bindings.iter().zip(&response.results).map(result).collect())
        })
        .await
    }

    /// Deletes the entries that filters choose; answers for each filter, in their order, which were deleted or could
    /// not be.
    ///
    /// # Errors
    /// Retriable, if no broker took the request in time. A filter's own result is Invalid, if it cannot be, or if the
    /// cluster has no authorizer (SECURITY_DISABLED).
    pub async fn delete_acls(
        &self,
        filters: &[AclFilter],
    ) -> Result<Vec<Result<BTreeMap<AclBinding, Result<()>>>>> {
        let request = DeleteAclsRequest { filters: filters.iter().map(AclFilter::as_deletion).collect() };
        self.until_done(|| async {
            let answer = self.client.controller_connection().await?.call(&request).await?;
            let response: DeleteAclsResponse<'_> = answer.decode()?;
            check_count("deleting ACLs", filters.len(), response.filter_results.len())?;
            Ok(response.filter_results.iter().map(deleted).collect())
        })
        .await
    }
}

/// Answers have no names: which is whose, their order says.
fn check_count(what: &str, asked: usize, answered: usize) -> Result<()> {
    if asked == answered {
        return Ok(());
    }
    Err(ClientError::corrupt(format!("{what}: {answered} answers to {asked} questions")))
}

fn bindings<'a>(resource: &'a DescribeAclsResource<'a>) -> impl Iterator<Item = AclBinding> + 'a {
    resource.acls.iter().map(|acl| AclBinding {
        resource: AclResource::from_code(resource.resource_type),
        name: resource.resource_name.to_string(),
        pattern: AclPattern::from_code(resource.pattern_type),
        principal: acl.principal.to_string(),
        host: acl.host.to_string(),
        operation: AclOperation::from_code(acl.operation),
        permission: AclPermission::from_code(acl.permission_type),
    })
}

fn deleted(result: &DeleteAclsFilterResult<'_>) -> Result<BTreeMap<AclBinding, Result<()>>> {
    outcome("deleting ACLs", result.error_code, result.error_message, ())?;
    let one = |acl: &DeleteAclsMatchingAcl<'_>| {
        let binding = AclBinding {
            resource: AclResource::from_code(acl.resource_type),
            name: acl.resource_name.to_string(),
            pattern: AclPattern::from_code(acl.pattern_type),
            principal: acl.principal.to_string(),
            host: acl.host.to_string(),
            operation: AclOperation::from_code(acl.operation),
            permission: AclPermission::from_code(acl.permission_type),
        };
        let what = format!("deleting an ACL of {}", binding.principal);
        (binding, outcome(&what, acl.error_code, acl.error_message, ()))
    };
    Ok(result.matching_acls.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_and_entries_travel_as_kafkas_numbers() {
        let any = AclFilter::default();
        let all = any.as_description();
        assert_eq!(
            (all.resource_type_filter, all.pattern_type_filter, all.operation, all.permission_type),
            (1, 1, 1, 1)
        );
        assert_eq!((all.resource_name_filter, all.principal_filter, all.host_filter), (None, None, None));
        let some = AclFilter {
            resource: Some(AclResource::Group),
            name: Some("readers".to_string()),
            pattern: AclNameFilter::InForce,
            operation: Some(AclOperation::Describe),
            permission: Some(AclPermission::Deny),
            ..AclFilter::default()
        };
        let some = some.as_deletion();
        assert_eq!((some.resource_type_filter, some.resource_name_filter), (3, Some("readers")));
        assert_eq!((some.pattern_type_filter, some.operation, some.permission_type), (2, 8, 2));
        for code in 2..=15 {
            assert_eq!(AclOperation::from_code(code).code(), code);
            assert!(!matches!(AclOperation::from_code(code), AclOperation::Unknown(_)));
        }
        assert_eq!(AclResource::from_code(99), AclResource::Unknown(99));
        assert_eq!(AclNameFilter::Of(AclPattern::Prefixed).code(), 4);
    }
}
