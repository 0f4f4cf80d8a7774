"""One reconcile of one resource: observe, settle, learn, plan, guard, record, send, requeue."""
