//! Kinds of Kubernetes objects and the other names that people use for them.

/// Kind, API group, other names. The plural is the name that the API uses; the rest are the short
/// names of kubectl.
const KINDS: &[(&str, &str, &[&str])] = &[
    ("certificatesigningrequest", "certificates.k8s.io", &["certificatesigningrequests", "csr"]),
    ("clusterrole", "rbac.authorization.k8s.io", &["clusterroles"]),
    ("clusterrolebinding", "rbac.authorization.k8s.io", &["clusterrolebindings"]),
    ("configmap", "", &["configmaps", "cm"]),
    ("cronjob", "batch", &["cronjobs", "cj"]),
    (
        "customresourcedefinition",
        "apiextensions.k8s.io",
        &["customresourcedefinitions", "crd", "crds"],
    ),
    ("daemonset", "apps", &["daemonsets", "ds"]),
    ("deployment", "apps", &["deployments", "deploy"]),
    ("endpoints", "", &["endpoint", "ep"]),
    ("endpointslice", "discovery.k8s.io", &["endpointslices"]),
    ("horizontalpodautoscaler", "autoscaling", &["horizontalpodautoscalers", "hpa"]),
    ("ingress", "networking.k8s.io", &["ingresses", "ing"]),
    ("ingressclass", "networking.k8s.io", &["ingressclasses"]),
    ("job", "batch", &["jobs"]),
    ("lease", "coordination.k8s.io", &["leases"]),
    ("limitrange", "", &["limitranges", "limits"]),
    ("namespace", "", &["namespaces", "ns"]),
    ("networkpolicy", "networking.k8s.io", &["networkpolicies", "netpol"]),
    ("node", "", &["nodes", "no"]),
    ("persistentvolume", "", &["persistentvolumes", "pv"]),
    ("persistentvolumeclaim", "", &["persistentvolumeclaims", "pvc"]),
    ("pod", "", &["pods", "po"]),
    ("poddisruptionbudget", "policy", &["poddisruptionbudgets", "pdb"]),
    ("podtemplate", "", &["podtemplates"]),
    ("priorityclass", "scheduling.k8s.io", &["priorityclasses", "pc"]),
    ("replicaset", "apps", &["replicasets", "rs"]),
    ("replicationcontroller", "", &["replicationcontrollers", "rc"]),
    ("resourcequota", "", &["resourcequotas", "quota"]),
    ("role", "rbac.authorization.k8s.io", &["roles"]),
    ("rolebinding", "rbac.authorization.k8s.io", &["rolebindings"]),
    ("secret", "", &["secrets"]),
    ("service", "", &["services", "svc"]),
    ("serviceaccount", "", &["serviceaccounts", "sa"]),
    ("statefulset", "apps", &["statefulsets", "sts"]),
    ("storageclass", "storage.k8s.io", &["storageclasses", "sc"]),
    ("volumeattachment", "storage.k8s.io", &["volumeattachments"]),
];

/// The one spelling of a kind: lower case, singular, a built-in group left out. A kind that is not
/// known is kept as it is, in lower case. `None` when it cannot be a kind at all.
pub(super) fn canonical(kind: &str) -> Option<String> {
    let kind = kind.to_ascii_lowercase();
    let chunk = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let edge = |c: char| c.is_ascii_alphanumeric();
    if kind.is_empty()
        || kind.len() > 253
        || !kind.chars().all(chunk)
        || !kind.starts_with(edge)
        || !kind.ends_with(edge)
        || kind.contains("..")
    {
        return None;
    }
    let (name, group) = kind.split_once('.').map_or((kind.as_str(), None), |(n, g)| (n, Some(g)));
    let known = KINDS.iter().find(|(singular, own_group, others)| {
        (*singular == name || others.contains(&name)) && group.is_none_or(|g| g == *own_group)
    });
    Some(known.map_or_else(|| kind.clone(), |(singular, ..)| (*singular).to_owned()))
}

/// Whether names of this kind are path segments instead of DNS subdomains.
pub(super) fn has_path_segment_names(kind: &str) -> bool {
    matches!(kind, "role" | "rolebinding" | "clusterrole" | "clusterrolebinding")
}
