"""Names of settings in OCPP 2.x: `Component.Variable`, each with `:instance` where it has one."""

from __future__ import annotations

from chargekey_gateway.ocpp20.command_messages import Component, Variable

# What security hangs on, by name alone: in 2.1 several components have them.
_SECURITY = frozenset({"basicauthpassword", "securityprofile"})
_SECURITY_COMPONENT = "securityctrlr"


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
    whole = (component.name, component.instance or "", variable.name, variable.instance or "")
    return "\n".join(whole).casefold()


def bears_on_security(component: str, variable: str) -> bool:
    """Whether this is how, and how safely, the charger says who it is."""
    return (
        component.strip().casefold() == _SECURITY_COMPONENT
        or variable.strip().casefold() in _SECURITY
    )


def is_password(variable: str) -> bool:
    """Whether this is a secret: the charger's own, its network's or a vendor's."""
    return variable.strip().casefold().endswith("password")
