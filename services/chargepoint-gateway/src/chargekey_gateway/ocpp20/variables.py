"""Names of settings in OCPP 2.x: `Component.Variable`, each with `:instance` where it has one."""

from __future__ import annotations

from chargekey_gateway.ocpp20.command_messages import Component, Variable


def parse(name: str) -> tuple[Component, Variable] | None:
    """Return what `Component:instance.Variable:instance` names; None for what is no such name."""
    component, dot, variable = name.partition(".")
    component_name, _, component_instance = component.partition(":")
    variable_name, _, variable_instance = variable.partition(":")
    if not dot or not component_name or not variable_name:
        return None
    return (
        Component(name=component_name, instance=component_instance or None),
        Variable(name=variable_name, instance=variable_instance or None),
    )


def spelled(component: Component, variable: Variable) -> str:
    """Return the name of a variable as names are compared: without regard to case."""
    return "\n".join(names(component, variable)).casefold()


def names(component: Component, variable: Variable) -> tuple[str, ...]:
    """Return all that a variable is called by; empty where a part has no instance."""
    return component.name, component.instance or "", variable.name, variable.instance or ""
