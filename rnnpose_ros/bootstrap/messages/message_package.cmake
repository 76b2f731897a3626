# What the message packages beside this file share: the real rosidl makes each of them from its .msg files.
# Only for a Python environment that holds ROS 2 as wheels; a machine with ROS 2 brings these packages itself.

find_package(ament_cmake REQUIRED)
find_package(std_msgs REQUIRED)
find_package(geometry_msgs REQUIRED)
find_package(rosidl_default_generators REQUIRED)

# The wheels' Python targets export include folders of the machine that built them.
foreach(package builtin_interfaces std_msgs geometry_msgs)
  set_target_properties(${package}::${package}__rosidl_generator_py PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "")
endforeach()

file(GLOB messages RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS msg/*.msg)
rosidl_generate_interfaces(${PROJECT_NAME} ${messages} DEPENDENCIES std_msgs geometry_msgs)
ament_package()
