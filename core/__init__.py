"""What api, scheduler and worker must agree on: settings, registry, job store, states, errors, logs."""
