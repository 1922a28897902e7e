use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost_types::value::Kind;
use prost_types::{Struct, Value as ProtoValue};
use serde_json::{Value, json};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_types::StatusExt;

use crate::Bearer;
use longhaul::operation_metrics::Metrics;
use longhaul::operations_service_client::OperationsServiceClient;
use longhaul::*;

pub mod longhaul {
    tonic::include_proto!("longhaul.v1");
}

pub type Operations = OperationsServiceClient<InterceptedService<Channel, Bearer>>;

pub async fn create(api: &mut Operations) -> Result<Value, Status> {
    let request = CreateOperationRequest {
        operation_type: "training".into(),
        request_id: unique(),
        metadata: Some(OperationMetadata { symbol: "MSFT".into(), ..Default::default() }),
        ..Default::default()
    };
    let first = operation(api.create_operation(request.clone()).await?.into_inner().operation);
    let again = operation(api.create_operation(request).await?.into_inner().operation);
    Ok(json!({
        "status": first.status().as_str_name(),
        "symbol": first.metadata.unwrap_or_default().symbol,
        "same": first.operation_id == again.operation_id,
    }))
}

pub async fn poll(api: &mut Operations) -> Result<Value, Status> {
    let operation_id = begin(api, &[("records", number(10.)), ("delayMs", number(50.))], HashMap::new()).await?;
    let (mut known_revision, mut backwards) = (0, false);
    loop {
        let request = GetOperationRequest { operation_id: operation_id.clone(), known_revision, max_staleness: None };
        let answer = api.get_operation(request.clone()).await?.into_inner();
        if !answer.not_modified {
            let current = operation(answer.operation);
            backwards |= current.revision <= known_revision;
            known_revision = current.revision;
            if current.completed_at.is_some() {
                let again = api.get_operation(GetOperationRequest { known_revision, ..request }).await?.into_inner();
                return Ok(json!({
                    "status": current.status().as_str_name(),
                    "percentage": current.progress.unwrap_or_default().percentage,
                    "backwards": backwards,
                    "notModified": again.not_modified,
                }));
            }
        }
        let advised = answer.poll_after.and_then(|after| Duration::try_from(after).ok()).unwrap_or_default();
        tokio::time::sleep(advised.min(Duration::from_millis(100))).await;
    }
}

pub async fn wait(api: &mut Operations) -> Result<Value, Status> {
    let operation_id = begin(api, &[("records", number(5.)), ("delayMs", number(20.))], HashMap::new()).await?;
    let ended = wait_for_end(api, &operation_id).await?;
    let summary = ended.result_summary.clone().unwrap_or_default();
    let records = match summary.fields.get("records").and_then(|value| value.kind.clone()) {
        Some(Kind::NumberValue(records)) => records,
        _ => f64::NAN,
    };
    Ok(json!({ "status": ended.status().as_str_name(), "records": records }))
}

pub async fn metrics(api: &mut Operations) -> Result<Value, Status> {
    let operation_id = begin(api, &[("records", number(30.))], HashMap::new()).await?;
    wait_for_end(api, &operation_id).await?;
    let (mut sequences, mut not_a_number, mut infinite, mut cursor, mut pages) = (vec![], 0, 0, 0, 0);
    loop {
        let request =
            GetMetricsRequest { operation_id: operation_id.clone(), cursor, max_records: 7, latest: false };
        let page = api.get_metrics(request).await?.into_inner();
        pages += 1;
        if let Some(Metrics::Training(training)) = page.metrics.and_then(|metrics| metrics.metrics) {
            for epoch in training.epochs {
                sequences.push(epoch.sequence);
                not_a_number += i32::from(epoch.val_loss.is_some_and(f64::is_nan));
                infinite += i32::from(epoch.train_loss == Some(f64::INFINITY));
            }
        }
        cursor = page.new_cursor;
        if !page.has_more {
            break;
        }
    }
    Ok(json!({
        "sequences": sequences,
        "notANumber": not_a_number,
        "infinite": infinite,
        "cursor": cursor,
        "pages": pages,
    }))
}

pub async fn cancel(api: &mut Operations) -> Result<Value, Status> {
    let operation_id = begin(api, &[("hold", truth())], HashMap::new()).await?;
    let request =
        CancelOperationRequest { operation_id: operation_id.clone(), reason: "wrong data".into(), force: false };
    let asked = operation(api.cancel_operation(request).await?.into_inner().operation);
    let ended = wait_for_end(api, &operation_id).await?;
    let cancellation = ended.cancellation.clone().unwrap_or_default();
    Ok(json!({
        "requested": asked.cancellation.is_some_and(|one| one.requested_at.is_some()),
        "status": ended.status().as_str_name(),
        "reason": cancellation.reason,
        "acknowledged": cancellation.acknowledged_at.is_some(),
    }))
}

pub async fn not_found(api: &mut Operations) -> Value {
    let request = GetOperationRequest { operation_id: "op_nobody".into(), ..Default::default() };
    refusal(api.get_operation(request).await.expect_err("nobody has that id"))
}

pub async fn bad_request(api: &mut Operations) -> Value {
    let request =
        CreateOperationRequest { operation_type: "training".into(), total_steps: -1, ..Default::default() };
    refusal(api.create_operation(request).await.expect_err("steps cannot be negative"))
}

pub async fn deadline(api: &mut Operations) -> Result<Value, Status> {
    let operation_id = begin(api, &[("hold", truth())], HashMap::new()).await?;
    let get = GetOperationRequest { operation_id: operation_id.clone(), ..Default::default() };
    let mut known_revision = operation(api.get_operation(get.clone()).await?.into_inner().operation).revision;
    let mut answered_before = false;
    // Two waits, because the operation may only now have begun to run.
    for _ in 0..2 {
        let mut request = Request::new(WaitOperationRequest {
            operation_id: operation_id.clone(),
            known_revision,
            ..Default::default()
        });
        request.set_timeout(Duration::from_secs(5));
        let answer = api.wait_operation(request).await?.into_inner();
        answered_before = answer.not_modified;
        if answered_before {
            break;
        }
        known_revision = operation(answer.operation).revision;
    }
    let mut too_short = Request::new(get);
    too_short.set_timeout(Duration::ZERO);
    let code = match api.get_operation(too_short).await {
        Err(status) => status.code() as i32,
        Ok(_) => 0,
    };
    api.cancel_operation(CancelOperationRequest { operation_id, reason: "seen enough".into(), force: false }).await?;
    Ok(json!({ "answeredBefore": answered_before, "code": code }))
}

pub async fn list(api: &mut Operations) -> Result<Value, Status> {
    let batch = HashMap::from([("batch".to_string(), unique())]);
    let mut created = vec![];
    for _ in 0..5 {
        created.push(begin(api, &[], batch.clone()).await?);
    }
    let (mut sizes, mut listed, mut page_token) = (vec![], vec![], String::new());
    loop {
        let filter = Some(OperationFilter { labels: batch.clone(), ..Default::default() });
        let request = ListOperationsRequest { filter, page_size: 2, page_token };
        let page = api.list_operations(request).await?.into_inner();
        sizes.push(page.operations.len());
        listed.extend(page.operations.into_iter().map(|one| one.operation_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(json!({ "sizes": sizes, "created": created, "listed": listed }));
        }
    }
}

async fn begin(
    api: &mut Operations,
    parameters: &[(&str, ProtoValue)],
    labels: HashMap<String, String>,
) -> Result<String, Status> {
    let fields: BTreeMap<_, _> = parameters.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    let request = CreateOperationRequest {
        operation_type: "training".into(),
        labels,
        metadata: Some(OperationMetadata { parameters: Some(Struct { fields }), ..Default::default() }),
        ..Default::default()
    };
    Ok(operation(api.create_operation(request).await?.into_inner().operation).operation_id)
}

async fn wait_for_end(api: &mut Operations, operation_id: &str) -> Result<OperationInfo, Status> {
    loop {
        let request = WaitOperationRequest {
            operation_id: operation_id.into(),
            until_done: true,
            timeout: Some(prost_types::Duration { seconds: 10, nanos: 0 }),
            ..Default::default()
        };
        let current = operation(api.wait_operation(request).await?.into_inner().operation);
        if current.completed_at.is_some() {
            return Ok(current);
        }
    }
}

fn refusal(status: Status) -> Value {
    let details = status.get_error_details();
    let mut facts = json!({ "code": status.code() as i32 });
    if let Some(info) = details.error_info() {
        facts["reason"] = info.reason.clone().into();
        facts["domain"] = info.domain.clone().into();
    }
    if let Some(resource) = details.resource_info() {
        facts["resource"] = resource.resource_name.clone().into();
    }
    if let Some(request) = details.bad_request() {
        facts["field"] = request.field_violations[0].field.clone().into();
    }
    facts
}

fn operation(answered: Option<OperationInfo>) -> OperationInfo {
    answered.expect("the answer holds the operation")
}

fn number(value: f64) -> ProtoValue {
    ProtoValue { kind: Some(Kind::NumberValue(value)) }
}

fn truth() -> ProtoValue {
    ProtoValue { kind: Some(Kind::BoolValue(true)) }
}

fn unique() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    format!("rust-{}", since.as_nanos())
}
