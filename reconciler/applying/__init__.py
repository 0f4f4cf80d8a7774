"""One reconcile of one resource: observe, settle earlier actions, plan, apply guards, record, send, requeue."""
